"""What features, models and everything above them share: compiled loops, files, locks."""
