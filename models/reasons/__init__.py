"""Reasons of a score: which features count, and the sentences that say so."""
