"""Rows as logs in Redis: a base, the changes since, and copies of rows that the reader keeps up to date."""
