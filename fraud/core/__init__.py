"""Nouns, ports and the engine; pure: no I/O, no clock, no randomness."""
