"""Boosted trees: their scorer, a fast evaluation, exact contributions."""
