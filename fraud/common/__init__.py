"""What features, models and everything above them share: below them, above the core, and not pure."""
