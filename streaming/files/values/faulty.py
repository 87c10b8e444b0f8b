"""What is said of a row, or a value, that cannot be used."""

from typing import Any


class RowError(Exception):
    """One row cannot be used: a stable code and a sentence."""

    def __init__(self, code: str, reason: str) -> None:
        """Keep the code beside the sentence."""
        super().__init__(reason)
        self.code = code


def shown(value: Any) -> str:
    """Return a value as it may stand in a sentence."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
