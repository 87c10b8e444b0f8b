"""Fit scorers from a replay through the live extractor."""
