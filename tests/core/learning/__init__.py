"""What learning goes by, against formulas worked by hand, and through snapshots."""
