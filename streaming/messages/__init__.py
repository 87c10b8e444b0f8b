"""Bytes and records: schemas of messages, their codec, and the envelope that they travel in."""
