"""What the tests of rules ask with: a payment, a vector, and rules of one text."""

import numpy as np

from features.spec import spec
from fraud.core.ports import RuleOutcome
from fraud.core.records import Transaction, Values
from fraud.core.rules.ruleset import compile_rules
from fraud.core.rules.vocabulary import Vocabulary

NAMES = spec().names
WORDS = Vocabulary.of(NAMES)
MONDAY_NOON = 1_704_110_400_000_000_000  # 2024-01-01 12:00 UTC


def payment(**fields: object) -> Transaction:
    plain: dict[str, object] = {
        "id": "t1", "card": "C1", "merchant": "M1", "amount": 12_345, "base_amount": 12_345,
        "happened_at": MONDAY_NOON, "seen_at": MONDAY_NOON, "channel": "ecom",
    }  # fmt: skip
    return Transaction(**{**plain, **fields})  # type: ignore[arg-type]


def vector(**features: float) -> Values:
    values = np.full(len(NAMES), np.nan, np.float32)
    for name, value in features.items():
        values[NAMES.index(name)] = value
    return values


def said(text: str, tx: Transaction | None = None, **features: float) -> RuleOutcome:
    return compile_rules(text, WORDS).judge(tx or payment(), vector(**features))


def holds(condition: str, tx: Transaction | None = None, **features: float) -> bool:
    return bool(said(f"rule r : when {condition} then note", tx, **features).reasons)
