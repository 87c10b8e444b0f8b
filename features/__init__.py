"""How a transaction becomes numbers."""
