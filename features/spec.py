"""The feature table, declared: name, entity, window, aggregate and a one-line meaning each.

The order of this table is the order of every vector; `state/vector.py` fills it in the same order and a test compares
the two against a plain recomputation from the raw events. The version is a hash of the table and of the state layout.
"""

import hashlib
from collections.abc import Iterator
from functools import cache

import msgspec

from features.state.layout import (
    AMOUNT_BINS,
    BIN_FIRST,
    BIN_WIDTH,
    LAYOUT_VERSION,
    LEVELS,
    LOG_SCALE,
    PAIR_LEVELS,
    RING,
    RISK_LEVELS,
    VERDICTS,
)
from fraud.core.attributes.declaration import NOTHING, PREFIX, Declaration

# An amount this many times the card's own median counts as unusual: about 2.4 standard deviations of a card whose
# deviation is half its mean. A fraud of unusual amount says more of the card than of the merchant.
UNUSUAL_RATIO = 2.25


class Feature(msgspec.Struct, frozen=True):
    """One column of the vector. Missing values are NaN: never seen, nothing known, or no such entity."""

    name: str
    entity: str
    window: str
    aggregate: str
    meaning: str


class Spec(msgspec.Struct, frozen=True):
    """The declared table and its version."""

    features: tuple[Feature, ...]
    version: str

    @property
    def names(self) -> tuple[str, ...]:
        """Return the feature names, in vector order."""
        return tuple(feature.name for feature in self.features)


OWN_COLUMNS = 1
"""The version of what own columns mean: another one is another spec."""
ENTITIES = {"card": "merchants", "merchant": "cards", "device": "cards"}

TRANSACTION = (
    ("amount", "amount in major units of the base currency"),
    ("log_amount", "natural logarithm of 1 + amount in minor units"),
    ("hour", "hour of the day, UTC, with fraction"),
    ("weekday", "day of the week, UTC, Monday 0"),
    ("mcc", "merchant category code, 0 when none was sent"),
    ("money_back", "1 for a refund or a reversal, 0 for a payment"),
    ("card_present", "1 at a terminal, 0 for e-commerce, mail and telephone orders, missing when not stated"),
)

WINDOWED = (
    ("count", "payments of this {entity} in the last {window}"),
    ("sum", "amount paid by this {entity} in the last {window}, major units"),
    ("mean", "mean amount of this {entity} in the last {window}, major units"),
    ("dev", "standard deviation of this {entity}'s log amounts in the last {window}"),
    ("max", "largest amount of this {entity} in the last {window}, major units"),
    ("distinct", "distinct {others} of this {entity} in the last {window} (estimated beyond a few)"),
)

RISK = (
    ("labels", "verdicts that became known for this {entity} in the last {window}"),
    ("frauds", "known frauds among them"),
    ("fraud_share", "share of frauds among them"),
)

SINGLE = (
    ("since_last", "seconds since this {entity}'s last payment"),
    ("since_first", "seconds since this {entity} was first seen"),
    ("amount_vs_median", "amount over this {entity}'s own median amount"),
    ("amount_vs_mean_30d", "amount over this {entity}'s mean amount of 30 days"),
    ("amount_spread", "interquartile range of this {entity}'s log amounts"),
    ("amount_z", "log distance of the amount from this {entity}'s median, in robust standard deviations"),
    ("last_verdict", "verdict on this {entity}'s newest labelled payment, 1 fraud, 0 genuine"),
    ("fraud_run", "length of the current run of known frauds at this {entity}, by time of payment"),
    ("ordinary_fraud_run", "the same among payments of ordinary amount for their card"),
    ("recent_fraud_share", "share of frauds among this {entity}'s newest 24 verdicts"),
    ("since_fraud", "seconds since this {entity}'s newest known fraud was paid"),
    ("since_label", "seconds since a verdict on this {entity} last became known"),
    ("run_since_newest", "seconds since the newest fraud of the ordinary run was paid"),
    ("run_since_oldest", "seconds since the oldest fraud of the ordinary run was paid"),
)

PAIR_SINGLE = (
    ("since_last", "seconds since this card last paid at this merchant"),
    ("since_first", "seconds since this card first paid at this merchant"),
    ("amount_vs_mean", "amount over this card's mean amount at this merchant"),
    ("labels", "verdicts known of this card at this merchant"),
    ("frauds", "known frauds of this card at this merchant"),
    ("since_fraud", "seconds since this card's newest known fraud at this merchant was paid"),
)


def entity_features(entity: str, others: str) -> Iterator[Feature]:
    """Yield the columns of one entity, in vector order."""
    for level in LEVELS:
        for aggregate, meaning in WINDOWED:
            name = f"{entity}_{others if aggregate == 'distinct' else aggregate}_{level.name}"
            text = meaning.format(entity=entity, others=others, window=level.name)
            yield Feature(name, entity, level.name, aggregate, text)
    for level in RISK_LEVELS:
        for aggregate, meaning in RISK:
            text = meaning.format(entity=entity, window=level.name)
            yield Feature(f"{entity}_{aggregate}_{level.name}", entity, level.name, aggregate, text)
    for aggregate, meaning in SINGLE:
        yield Feature(f"{entity}_{aggregate}", entity, "", aggregate, meaning.format(entity=entity))


def pair_features() -> Iterator[Feature]:
    """Yield the columns of the pair card-merchant, in vector order."""
    for level in PAIR_LEVELS:
        yield Feature(
            f"pair_count_{level.name}",
            "pair",
            level.name,
            "count",
            f"payments of this card at this merchant in the last {level.name}",
        )
        yield Feature(
            f"pair_sum_{level.name}",
            "pair",
            level.name,
            "sum",
            f"amount paid by this card at this merchant in the last {level.name}",
        )
    for aggregate, meaning in PAIR_SINGLE:
        yield Feature(f"pair_{aggregate}", "pair", "", aggregate, meaning)


def declared() -> Iterator[Feature]:
    """Yield the whole table, in vector order."""
    for name, meaning in TRANSACTION:
        yield Feature(name, "transaction", "", name, meaning)
    for entity, others in ENTITIES.items():
        yield from entity_features(entity, others)
    yield from pair_features()


def own_features(declared: Declaration) -> Iterator[Feature]:
    """Yield the own columns of a declaration, in vector order: numbers, expressions, categories."""
    for name in declared.numbers:
        yield Feature(PREFIX + name, "attributes", "", "number", f"own number {name}, as sent")
    for name, text in declared.expressions:
        yield Feature(PREFIX + name, "attributes", "", "expression", text)
    for name in declared.categories:
        yield Feature(PREFIX + name, "attributes", "", "category", f"own word {name}, as a hash")


@cache
def spec(declared: Declaration = NOTHING) -> Spec:
    """Return the feature spec of this release with the own columns of a declaration; without any it is the base."""
    if not declared:
        return base()
    text = msgspec.json.encode((base().version, OWN_COLUMNS, declared))
    return Spec((*base().features, *own_features(declared)), hashlib.sha256(text).hexdigest()[:12])


@cache
def base() -> Spec:
    """Return the feature spec of this release without own columns."""
    table = tuple(declared())
    layout = (LAYOUT_VERSION, LEVELS, RISK_LEVELS, PAIR_LEVELS, RING, VERDICTS)
    fixed = (AMOUNT_BINS, BIN_FIRST, BIN_WIDTH, LOG_SCALE, UNUSUAL_RATIO)
    text = msgspec.json.encode((table, layout, fixed))
    return Spec(table, hashlib.sha256(text).hexdigest()[:12])
