"""The reason codes: the one list that the booster, the network and their blend give reasons from.

A code speaks for a group of features and, where a network reads histories, for the parts of them that tell of the same
thing, so that one fact is one reason whoever gives it. Groups are told apart by what an analyst does with them: known
frauds apart from behaviour, the newest payments apart from the long history, card, merchant and device apart. How fast,
how much and where a card pays is one group: one burst moves all three, and would fill all three places of a decision.

Features are named by patterns (`*` stands for any text), so a feature of another window falls into its group by itself;
one that no pattern names is told by its own name under `other`. `docs/reasons.md` shows the list.
"""

from collections.abc import Callable, Container
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.reasons import history_sentences
from models.reasons.facts import told
from models.reasons.history_sentences import Facts
from models.reasons.reading import Reading

BOOSTER, BLEND, NETWORK = "booster", "blend", "network"
"""The kinds of scorers that give reasons; the last two read histories."""
TOLD = 3
"""As many groups a decision tells of, at most."""
MATERIAL = 0.05
"""A smaller effect, in log-odds, is not told: 5 % in the odds."""

F64 = NDArray[np.float64]


class Part(StrEnum):
    """A part of the histories that a network reads, of which one code speaks."""

    CARD_PAYMENTS = "the card's newest payments"
    CARD_FRAUDS = "known frauds of the card"
    CARD_OLDER = "summaries of the card's older payments"
    MERCHANT_PAYMENTS = "the merchant's newest payments"
    MERCHANT_FRAUDS = "known frauds at the merchant"
    MERCHANT_OLDER = "summaries of the merchant's older payments"
    DEVICE_PAYMENTS = "the device's newest payments"
    DEVICE_FRAUDS = "known frauds on the device"
    DEVICE_OLDER = "summaries of the device's older payments"
    PAIR_PAYMENTS = "the card's payments at this merchant"
    PAIR_FRAUDS = "known frauds among the card's payments at this merchant"
    AMOUNTS = "other payments' amounts beside this one's"
    CATEGORIES = "other payments' merchant category beside this one's"
    TEXTS = "other payments' descriptor beside this one's, and the text itself"


class Code(NamedTuple):
    """One reason code: what it means, what belongs to it, and the facts that it can tell."""

    name: str
    meaning: str
    features: tuple[str, ...]
    """Patterns of feature names."""
    history: tuple[Part, ...]
    facts: Callable[[Reading], Facts]
    needs_history: bool = False
    """Whether only a scorer that reads histories can give it."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of scorers that can give it."""
        return (BLEND, NETWORK) if self.needs_history else (BOOSTER, BLEND, NETWORK)

    def words(self, read: Reading, before: Container[str] = ()) -> str | None:
        """Return the sentence that speaks for fraud and was not told before, None where there is none."""
        return told(self.facts(read), read.strongest, before)


def _of(entity: str, aggregates: str) -> tuple[str, ...]:
    """Return the patterns of an entity's features, aggregates separated by blanks."""
    return tuple(f"{entity}_{aggregate}" for aggregate in aggregates.split())


_FLOW = "count_* sum_* mean_* dev_* max_* since_last"
_RISK = (
    "labels_* frauds_* fraud_share_* last_verdict fraud_run ordinary_fraud_run recent_fraud_share since_fraud "
    "since_label run_since_*"
)

CODES = (
    Code(
        "amount", "The amount beside what this card, this merchant or this device usually pays or is paid",
        ("amount", "log_amount", "*_amount_*"), (Part.AMOUNTS,), history_sentences.amount,
    ),
    Code(
        "card-frauds", "Verdicts on this card's payments",
        _of("card", _RISK), (Part.CARD_FRAUDS,), history_sentences.frauds_of_card,
    ),
    Code(
        "merchant-frauds", "Verdicts on payments at this merchant",
        _of("merchant", _RISK), (Part.MERCHANT_FRAUDS,), history_sentences.frauds_of_merchant,
    ),
    Code(
        "device-frauds", "Verdicts on payments with this device",
        _of("device", _RISK), (Part.DEVICE_FRAUDS,), history_sentences.frauds_of_device,
    ),
    Code(
        "pair-frauds", "Verdicts on this card's payments at this merchant",
        _of("pair", "labels frauds since_fraud"), (Part.PAIR_FRAUDS,), history_sentences.frauds_of_pair,
    ),
    Code(
        "card-recent", "How often, how much and where this card has paid lately",
        _of("card", f"{_FLOW} merchants_*"), (Part.CARD_PAYMENTS,), history_sentences.recent_of_card,
    ),
    Code(
        "merchant-recent", "How often, how much and by which cards this merchant has been paid lately",
        _of("merchant", f"{_FLOW} cards_*"), (Part.MERCHANT_PAYMENTS,), history_sentences.recent_of_merchant,
    ),
    Code(
        "device-recent", "How often, how much and by which cards this device has been used lately",
        _of("device", f"{_FLOW} cards_*"), (Part.DEVICE_PAYMENTS,), history_sentences.recent_of_device,
    ),
    Code(
        "card-history", "How long this card has been in use, and its older payments",
        ("card_since_first",), (Part.CARD_OLDER,), history_sentences.history_of_card,
    ),
    Code(
        "merchant-history", "How long this merchant has been paid, and its older payments",
        ("merchant_since_first",), (Part.MERCHANT_OLDER,), history_sentences.history_of_merchant,
    ),
    Code(
        "device-history", "How long this device has been in use, and its older payments",
        ("device_since_first",), (Part.DEVICE_OLDER,), history_sentences.history_of_device,
    ),
    Code(
        "pair-history", "Whether and how often this card has paid at this merchant",
        _of("pair", "count_* sum_* since_last since_first"), (Part.PAIR_PAYMENTS,), history_sentences.history_of_pair,
    ),
    Code("time", "The time of day and the day of the week", ("hour", "weekday"), (), history_sentences.time),
    Code(
        "channel", "The kind of payment: merchant category, presence of the card, direction of the money",
        ("mcc", "card_present", "money_back"), (Part.CATEGORIES,), history_sentences.channel,
    ),
    Code(
        "descriptor", "The text that the merchant sent, and who has used it before",
        (), (Part.TEXTS,), history_sentences.descriptor, needs_history=True,
    ),
    Code("other", "A feature that no other code speaks for, by its name", (), (), history_sentences.other),
    Code(
        "interaction", "What the groups above add together and none of them alone",
        (), (), history_sentences.interaction, needs_history=True,
    ),
    Code(
        "learned-lately", "What the model has learned of late labels since its training",
        (), (), history_sentences.learned,
    ),
)  # fmt: skip
GROUPS = CODES[:-2]
"""The codes that speak for features or parts of a history: the players of both games, in this order."""
INTERACTION, LEARNED = CODES[-2:]
PLACES = {code.name: place for place, code in enumerate(GROUPS)}
OTHER = PLACES["other"]


def group_of(feature: str) -> int:
    """Return the place in GROUPS of the code that speaks for a feature, that of `other` when none does."""
    return next((place for place, code in enumerate(GROUPS) if matches(code, feature)), OTHER)


def matches(code: Code, feature: str) -> bool:
    """Tell whether a code names a feature."""
    return any(fnmatchcase(feature, pattern) for pattern in code.features)


def owner_of(part: Part) -> int:
    """Return the place in GROUPS of the code that speaks for a part of the history."""
    return next(place for place, code in enumerate(GROUPS) if part in code.history)


class Told(NamedTuple):
    """A group that is told of: its place in GROUPS, and the sentence."""

    place: int
    text: str


def chosen(effects: F64, reading: Callable[[int], Reading]) -> list[Told]:
    """Return the groups to tell of, strongest first: three at most, maybe none.

    `effects` are log-odds, float64 (groups,), `reading` gives what a group's sentence reads. A group that raised the
    score by less than is material, or has nothing to say that was not said, is left out, and the next one is told.
    """
    found: list[Told] = []
    for place in np.argsort(-effects, kind="stable").tolist():
        if len(found) == TOLD or not effects[place] >= MATERIAL:
            break
        if (text := GROUPS[place].words(reading(place), [one.text for one in found])) is not None:
            found.append(Told(place, text))
    return found
