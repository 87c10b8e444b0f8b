"""The page of reason codes is the catalogue: every code, what it means, who gives it, and its sentence."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from features.spec import spec
from models.reasons.catalogue import CODES, Code
from models.reasons.reading import Lately, Reading
from tests.models.histories import DAY, event, fraud, genuine, summary, tokens

PAGE = Path(__file__).parents[2] / "docs" / "reasons.md"
NAMES = spec().names
KNOWN = {
    "amount": 940.0, "hour": 3.2, "weekday": 6, "mcc": 7995, "card_present": 0, "money_back": 0,
    "card_amount_vs_median": 940 / 31, "merchant_amount_vs_median": 94,
    "card_count_10m": 5, "card_count_1h": 5, "card_count_1d": 6, "card_count_30d": 60, "card_since_first": 140 * DAY,
    "merchant_cards_1d": 40, "merchant_cards_30d": 60, "merchant_since_first": 5 * DAY,
    "device_since_first": 3 * DAY, "device_cards_1d": 7, "device_cards_30d": 9, "device_frauds_7d": 2,
    "device_labels_7d": 3,
    "pair_since_last": 60, "pair_since_first": 90 * DAY, "pair_count_10m": 2, "pair_count_30d": 3,
    "pair_frauds": 1, "pair_labels": 3, "pair_since_fraud": 3 * DAY,
}  # fmt: skip
"""What a payment's vector says in the examples; the rest is not known."""
HISTORY = tokens(
    {
        0: [
            event(DAY, 61.2, c2=1.0, c26=1),
            event(DAY, 20.0, c3=1.0),
            event(2 * DAY, 20.0, c29=1),
            fraud(3.5 * DAY),
            *[genuine(9 * DAY)] * 6,
        ],
        1: [fraud(8.22 * DAY, c31=1)] * 5 + [genuine(9 * DAY)] * 7,
    },
    {},
    {
        0: [summary(16, 0, 0, 60 * DAY, 20.0), summary(64, 0, 0, 140.5 * DAY, 20.0)],
        1: [summary(160, 150, 1, 90.5 * DAY, last_fraud=50 * DAY)],
    },
)


def sentence(code: Code) -> str:
    """Return a code's sentence about the examples' payment, with what its scorers read."""
    values = np.array([KNOWN.get(name, math.nan) for name in NAMES], dtype=np.float32)
    named, vector = (NAMES, values) if code.name != "other" else ((*NAMES, "ring_degree"), np.append(values, 3.5))
    places = {name: place for place, name in enumerate(named)}
    lately = Lately(41_320, 96, 1_793_620_800_000_000_000)
    told = code.words(Reading(places, vector.astype(np.float32), "ring_degree", HISTORY, 0.18, lately))
    assert told is not None
    return told


def line(code: Code) -> str:
    """Return a code's line of the table."""
    features = ", ".join(f"`{pattern}`" for pattern in code.features)
    belongs = "; ".join(part for part in (features, *code.history) if part) or "-"
    return f"| `{code.name}` | {code.meaning} | {belongs} | {', '.join(code.kinds)} | {sentence(code)} |"


def table() -> list[str]:
    """Return the lines of the page's table of codes."""
    found = re.search(r"^\| code \| .*\n\|---.*\n((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
    assert found, "docs/reasons.md has no table of codes"
    return found[1].splitlines()


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_code_is_on_the_page_with_meaning_givers_and_sentence(code: Code) -> None:
    assert line(code) in table()


def test_page_names_no_other_codes() -> None:
    assert [row.split("|")[1].strip(" `") for row in table()] == [code.name for code in CODES]


def test_codes_that_took_the_place_of_older_ones_exist() -> None:
    text = PAGE.read_text()
    rows = re.findall(r"^\| `[\w-]+`.*\| (`.*`) \|$", text[text.index("## Codes before") :], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert named
    assert named <= {code.name for code in CODES}
