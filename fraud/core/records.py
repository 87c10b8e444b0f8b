"""The nouns: what arrives, what is computed from it, and what leaves.

Every record is frozen and slotted. Times are UTC nanoseconds since the epoch, as integers; amounts are integers
in minor units (cents). Two times matter and are never mixed: `happened_at`, when the thing took place, and
`seen_at`, when we learned of it.
"""

import enum
import hashlib
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.core.evidence import Evidence

Values = NDArray[np.float32]
Parts = tuple[tuple[str, float], ...]
"""Shares of a score by name, in order."""
BASE, EXIT = "base", "exit"
"""The two parts that a model's score always has: its calibrated log-odds, before rules, and the exit taken."""
BLOCKED = "blocked:card"
"""The code of the reason that names a block from topic `actions`."""

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Kind(enum.StrEnum):
    """What a card message asks for; money flows back in the last two, so they are kinds, not negative amounts."""

    PAYMENT = "payment"
    REFUND = "refund"
    REVERSAL = "reversal"


class Verdict(enum.StrEnum):
    """What became known of a transaction; a source that withdraws its verdict has said nothing."""

    GENUINE = "genuine"
    FRAUD = "fraud"
    WITHDRAWN = "withdrawn"


class LabelSource(enum.StrEnum):
    """Who said so. Silence means that the deadline for a complaint has passed."""

    CHARGEBACK = "chargeback"
    ANALYST = "analyst"
    SILENCE = "silence"


class Action(enum.StrEnum):
    """What is done with a payment, from the mildest to the hardest."""

    APPROVE = "approve"
    CHALLENGE = "challenge"
    REVIEW = "review"
    DECLINE = "decline"

    @property
    def rank(self) -> int:
        """Return the action's hardness, 0 (approve) to 3 (decline)."""
        return _ACTION_RANK[self]


_ACTION_RANK = {action: rank for rank, action in enumerate(Action)}


class Level(enum.StrEnum):
    """How much of the scorer ran; a worker over budget steps down and says so."""

    FULL = "full"
    EARLY = "early"
    ONLINE = "online"
    RULES = "rules"


class Explainer(enum.StrEnum):
    """What a decision's reasons come from, those of its rules aside."""

    NONE = "none"
    MODEL = "model"
    BOOSTER = "booster"


class Mark(enum.StrEnum):
    """What was unusual about how a decision came about."""

    LATE = "late"
    """The payment happened further behind its partition's watermark than `lateness.allowed`."""
    OVERDUE = "overdue"
    """It came after its deadline: from when its transaction was sent to when it was published, and arrived."""
    BRIEF_REASONS = "brief-reasons"
    """There was no time left for the model's reasons: these are of its booster alone."""
    CORRECTION = "correction"
    """A higher version of a payment that is in: its predecessor was taken out of the state."""
    CORRECTION_UNMATCHED = "correction-unmatched"
    """A higher version whose predecessor the state has let go: answered, not absorbed."""
    SUPERSEDED = "superseded"
    """A lower version than the one that is in: answered, not absorbed."""
    REPEATED = "repeated"
    """The same version once more, and its first answer is gone: answered, not absorbed again."""
    ID_REUSED = "id-reused"
    """Its id and version are those of another payment: decided on its own, and known by another name since."""
    REDELIVERED = "redelivered"
    """The state has applied this position already. The extractor says it; a decision carries `recovered` instead."""
    RECOVERED = "recovered"
    """A position applied before, whose first answer is gone: scored as the state was found."""
    STORE_DOWN = "store-down"
    """The state store did not answer: decided by rules alone."""


class Transaction(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One card message. `amount` counts minor units of `currency`, `base_amount` those of the base currency."""

    id: str
    card: str
    merchant: str
    amount: int
    base_amount: int
    happened_at: int
    seen_at: int
    version: int = 0
    kind: Kind = Kind.PAYMENT
    device: str | None = None
    currency: str = "EUR"
    channel: str = ""
    mcc: int = 0
    text: str = ""
    attrs: dict[str, Any] | None = None


class Label(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A verdict on one transaction. `happened_at` is when the verdict was given, not when the payment was made."""

    tx_id: str
    verdict: Verdict
    happened_at: int
    seen_at: int
    source: LabelSource = LabelSource.CHARGEBACK
    version: int = 0


class KnownLabel(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A label joined with the payment that it speaks of, ready to be applied to entity state.

    `replaces` and `replaces_at` name the verdict (and its time) that this one corrects; `withdrawn` corrects one by
    none. `unusual` says whether the payment's amount stood out against the card's own history when it was scored.
    `partition` is that of the payment, where it is known: whoever holds the card's payments takes its labels in too.
    """

    tx_id: str
    verdict: Verdict
    source: LabelSource
    happened_at: int
    seen_at: int
    card: str
    merchant: str
    paid_at: int
    base_amount: int
    device: str | None = None
    unusual: bool = False
    replaces: Verdict | None = None
    replaces_at: int = 0
    partition: int = -1


Event = Transaction | Label | KnownLabel


class Position(msgspec.Struct, frozen=True, gc=False, order=True):
    """Where a record stands in its source: topic (with its id where there is one), partition, offset."""

    topic: str
    partition: int
    offset: int


class Arrival(msgspec.Struct, frozen=True):
    """An event with its position, the headers that travelled with it, and how much of the scorer there is time for.

    `marks` go into the decision: `overdue` when its deadline had passed before it was taken up. Without an `explainer`
    the time left decides, without `parameters` (a version, `""` for none) or `release` (an id, `""` for none) what is
    in force; all are given where a decision is made again. So is `blocked`, what had been heard of the payment's card.
    """

    event: Event
    position: Position
    headers: tuple[tuple[str, bytes], ...] = ()
    level: Level = Level.FULL
    marks: tuple[Mark, ...] = ()
    explainer: Explainer | None = None
    parameters: str | None = None
    release: str | None = None
    blocked: "Reason | None" = None


class Reject(msgspec.Struct, frozen=True):
    """A record that could not be read: why (a stable code and a sentence) and its original bytes.

    In a `masked` one stars stand for the digits of card numbers: it cannot be driven in again. Where `original` is the
    beginning of a longer message, `length` and `sha256` are those of the whole; else 0 and "", as is the hash of one
    that was masked. `content` tells a file's row from that of another file of its name; "" for a message.
    """

    code: str
    reason: str
    original: bytes
    position: Position
    headers: tuple[tuple[str, bytes], ...] = ()
    seen_at: int = 0
    masked: bool = False
    length: int = 0
    sha256: str = ""
    content: str = ""


class Intake(msgspec.Struct, frozen=True):
    """What one read of a source brought; both empty means idle."""

    arrivals: tuple[Arrival, ...] = ()
    rejects: tuple[Reject, ...] = ()


class FeatureVector(msgspec.Struct, frozen=True):
    """The numbers a transaction was scored on: float32, shape (features,), aligned to the spec of `spec_version`."""

    tx_id: str
    values: Values
    spec_version: str
    as_of: int


class Score(msgspec.Struct, frozen=True, gc=False):
    """A calibrated fraud probability in [0, 1] with the share of each part, and the level it was computed at.

    A model's parts hold its log-odds (`BASE`) and its exit (`EXIT`); rules alone, at level `rules`, have none.
    `parameters` is the version of what was learned since that it was computed with, empty where there was none.
    """

    tx_id: str
    value: float
    model_version: str
    level: Level = Level.FULL
    parts: Parts = ()
    parameters: str = ""


class Reason(msgspec.Struct, frozen=True, gc=False):
    """Why: a stable code, the sentence an analyst reads, and the effect on the score in log-odds.

    `without` is the model's probability had its group been usual, None for rules and for what is no group.
    """

    code: str
    text: str
    effect: float = 0.0
    without: float | None = None


class Explanation(NamedTuple):
    """What a scorer says of one of its scores: the reasons that are told, and the numbers behind them if asked for."""

    reasons: tuple[Reason, ...] = ()
    evidence: Evidence | None = None


class Versions(msgspec.Struct, frozen=True, gc=False):
    """What made a decision: needed, and enough, to make it again.

    `parameters` is what was learned since the model was trained, empty where the model decided as it was trained.
    `release` is the id of what was in force together, model, rules and policy; empty where the settings chose them.
    """

    model: str
    spec: str
    policy: str
    rules: str
    parameters: str = ""
    release: str = ""


class Raised(msgspec.Struct, frozen=True, gc=False):
    """The alert that a decision raises, in short; `expected_loss` and `at_stake` in minor units of the base currency.

    `expected_loss` is probability times the amount at risk, `at_stake` the expected cost if nobody looks.
    """

    id: str
    expected_loss: int
    at_stake: int


class Decision(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The answer to one transaction, derived only from its inputs. `marks` names what was unusual about making it.

    Device, channel and `unusual` (did the amount stand out against the card's own history) let the label book join a
    late verdict with the payment. `level`, `marks` and `explainer` tell what there was time for: see `as_decided`.
    `model_score` is the model's own probability, before rules; None where no model has scored, as in what releases
    before this field wrote. `kind`, `amount`, `currency`, `mcc` and `text` are the transaction's, as sent. `known_as`
    is the payment's own name where another payment has its id (mark `id-reused`), empty otherwise: see `identity`.
    """

    tx_id: str
    version: int
    action: Action
    score: float
    reasons: tuple[Reason, ...]
    level: Level
    versions: Versions
    seen_at: int
    happened_at: int
    card: str
    merchant: str
    base_amount: int
    device: str | None = None
    channel: str = ""
    unusual: bool = False
    parts: Parts = ()
    marks: tuple[Mark, ...] = ()
    explainer: Explainer = Explainer.NONE
    model_score: float | None = None
    kind: Kind = Kind.PAYMENT
    amount: int = 0
    currency: str = ""
    mcc: int = 0
    text: str = ""
    alert: Raised | None = None
    known_as: str = ""


class Alert(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A decision that somebody should look at; its id is derived, so that a redelivery makes no second one."""

    id: str
    tx_id: str
    version: int
    action: Action
    score: float
    expected_loss: int
    reasons: tuple[Reason, ...]
    seen_at: int
    card: str
    merchant: str
    base_amount: int
    at_stake: int = 0


Outcome = Decision | Alert


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """All that one transaction caused: the decision, its alert if any, the vector that was scored, what alerts rest on.

    `repeat_of` is set when a producer sent the same transaction again: the decision is then the first answer.
    """

    decision: Decision
    position: Position
    alert: Alert | None = None
    vector: FeatureVector | None = None
    repeat_of: Position | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    evidence: Evidence | None = None

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Return what is published, in order: alert first, decision last."""
        return (self.alert, self.decision) if self.alert else (self.decision,)


def alert_id(name: str, version: int, policy_version: str) -> str:
    """Return the alert's id, a hash of what it is about, so that the same alert always has the same id.

    `name` is the payment's own (`identity.own_name`): two payments under one id never share an alert.
    """
    text = f"{name}\0{version}\0{policy_version}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def as_decided(arrival: Arrival, decision: Decision) -> Arrival:
    """Return an arrival for a replay that decides as a worker did.

    Level, explainer, parameters, release, the block of the card and whether it was late depend on the clock, or on when
    a worker heard of something, so they are taken from the record; everything else is computed again.
    """
    return msgspec.structs.replace(
        arrival,
        level=decision.level,
        marks=(Mark.OVERDUE,) if Mark.OVERDUE in decision.marks else (),
        explainer=None if decision.explainer is Explainer.NONE else decision.explainer,
        parameters=decision.versions.parameters,
        release=decision.versions.release,
        blocked=next((reason for reason in decision.reasons if reason.code == BLOCKED), None),
    )


def log_odds_in(parts: Parts) -> float | None:
    """Return the base's log-odds among the parts of a score, None where no model has spoken."""
    return next((value for name, value in parts if name == BASE), None)
