"""Contributions into reasons: features are summed in groups, and each group has one sentence with its numbers.

The sentences read the vector by feature name, so they need no state; a baseline stands beside each number (the card's
own median, its usual payments a day). A new feature falls into its entity's group by pattern, or into `other`.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.records import Reason, Values
from models.reasons import sentences
from models.reasons.sentences import Reading, Text

F64 = NDArray[np.float64]

MOST = 3
AMOUNTS = "sum|mean|dev|max|amount"
RISK = "labels?|frauds?|last_verdict|ordinary|recent|run|since_fraud|since_label"


class Group(NamedTuple):
    """A reason code, the features it speaks for (a pattern over names) and its sentence."""

    code: str
    pattern: str
    text: Text


# The first pattern that matches the start of a name wins; the last one takes every name.
GROUPS = (
    Group("amount-vs-card", "(log_)?amount$|card_amount", sentences.amount_of_card),
    Group("amount-vs-pair", "pair_amount|pair_sum", sentences.amount_of_pair),
    Group("amount-vs-merchant", f"merchant_({AMOUNTS})_", sentences.amount_of_merchant),
    Group("amount-vs-device", f"device_({AMOUNTS})_", sentences.amount_of_device),
    Group("card-frauds", f"card_({RISK})", sentences.frauds_of_card),
    Group("merchant-frauds", f"merchant_({RISK})", sentences.frauds_of_merchant),
    Group("device-frauds", f"device_({RISK})", sentences.frauds_of_device),
    Group("pair-frauds", f"pair_({RISK})", sentences.frauds_of_pair),
    Group("card-pace", "card_(count|since_last)", sentences.pace_of_card),
    Group("merchant-pace", "merchant_(count|since_last)", sentences.pace_of_merchant),
    Group("device-pace", "device_(count|since_last)", sentences.pace_of_device),
    Group("card-spending", f"card_({AMOUNTS})_", sentences.spending_of_card),
    Group("card-merchants", "card_merchants", sentences.merchants_of_card),
    Group("merchant-cards", "merchant_cards", sentences.cards_of_merchant),
    Group("device-cards", "device_cards", sentences.cards_of_device),
    Group("card-age", "card_since_first", sentences.age_of_card),
    Group("merchant-age", "merchant_since_first", sentences.age_of_merchant),
    Group("device-age", "device_since_first", sentences.age_of_device),
    Group("pair-history", "pair_", sentences.history_of_pair),
    Group("time", "hour$|weekday$", sentences.time),
    Group("channel", "mcc$|card_present$|money_back$", sentences.channel),
    Group("other", "", sentences.other),
)
PATTERNS = tuple(re.compile(group.pattern) for group in GROUPS)


class Explainer:
    """Reasons for vectors of one list of feature names."""

    def __init__(self, names: Sequence[str]) -> None:
        """Sort the features into groups once."""
        self._places = {name: place for place, name in enumerate(names)}
        self._names = tuple(names)
        self._group = np.array([group_of(name) for name in names], dtype=np.intp)

    def reasons(self, values: Values, effects: F64) -> tuple[Reason, ...]:
        """Return up to three groups that raised the score, strongest first.

        `values` is float32 (features,), NaN where nothing is known; `effects`, float64 (features,), log-odds.
        """
        totals: F64 = np.bincount(self._group, weights=effects, minlength=len(GROUPS)).astype(np.float64)
        strongest = np.argsort(-totals, kind="stable")[:MOST]
        return tuple(self._reason(int(i), values, effects, totals) for i in strongest if totals[i] > 0)

    def _reason(self, group: int, values: Values, effects: F64, totals: F64) -> Reason:
        reading = Reading(self._places, values, self._strongest(group, effects))
        return Reason(GROUPS[group].code, GROUPS[group].text(reading), float(totals[group]))

    def _strongest(self, group: int, effects: F64) -> str:
        """Return the name of the group's feature that raised the score most."""
        members = np.flatnonzero(self._group == group)
        return self._names[int(members[np.argmax(effects[members])])]


def group_of(name: str) -> int:
    """Return the place in GROUPS of the group that speaks for a feature."""
    return next(place for place, pattern in enumerate(PATTERNS) if pattern.match(name))
