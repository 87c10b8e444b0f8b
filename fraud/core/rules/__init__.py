"""Analyst rules: a small typed language, compiled once to closures over a transaction and its features."""
