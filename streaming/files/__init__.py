"""Histories in files: tables of payments in, decisions and dead letters out."""
