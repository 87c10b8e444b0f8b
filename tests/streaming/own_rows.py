"""A small file with own columns, and its mapping."""

import csv
from pathlib import Path
from typing import Any

from fraud.core.records import Transaction

MAPPING = """
[columns]
id = "id"
time = "time"
card = "card"
amount = "amount"
[time]
unit = "s"
"""
OWN = """
[attrs.number]
old = "before"
new = "after"
[attrs.category]
sort = "kind of it"
[attrs.expression]
drift = "old - amount - new"
"""
BEGIN = 1_700_000_000


def file_of(folder: Path, odd: str = "", rows: int = 200) -> Path:
    """Write payments, some without a value, one with an odd one."""
    path = folder / "own.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "time", "card", "amount", "before", "after", "kind of it"])
        for n in range(rows):
            after = "" if n % 5 == 0 else odd if odd and n == 3 else f"{n * 1.25}"
            writer.writerow(
                [f"t{n}", BEGIN + 600 * n, f"c{n % 9}", f"{n}.50", f"{n * 10}", after, ("", "IN", "OUT")[n % 3]]
            )
    return path


def numbers(tx_id: str, **attrs: Any) -> Transaction:
    """Return a payment with own values."""
    at = BEGIN * 10**9
    return Transaction(
        id=tx_id, card="c", merchant="m", amount=100, base_amount=100, happened_at=at, seen_at=at, attrs=attrs
    )
