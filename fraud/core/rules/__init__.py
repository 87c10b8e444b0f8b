"""Analyst rules: a small typed language, compiled once over a transaction and its features."""
