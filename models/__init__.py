"""How numbers become a score."""
