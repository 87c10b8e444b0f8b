"""The ports: what the engine asks of the outside, with the promises an implementation keeps.

Each port has one contract suite under `tests/contract`, run on every implementation.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.core.records import (
    Action,
    Answer,
    Arrival,
    Explanation,
    Intake,
    KnownLabel,
    Mark,
    Position,
    Reason,
    Reject,
    Score,
    Transaction,
    Values,
)

Matrix = NDArray[np.float32]
Codes = NDArray[np.float32]


class Source(Protocol):
    """Where events come from, in the order of `seen_at`.

    A source that outlives its process begins again at or before what it noted as done, never behind it.
    """

    def read(self) -> Intake | None:
        """Return what is there (empty when idle), or None when the stream has ended; never wait to fill a batch."""

    def commit(self, answers: Sequence[Answer]) -> None:
        """Note that everything read so far has been answered and handed to the sink, in these answers.

        The note becomes durable later, and never before the sink has acknowledged what was handed over.
        """

    def close(self) -> None:
        """Make durable what was noted and acknowledged, and release; a second call does nothing."""


class Sink(Protocol):
    """Where answers and rejects go. What cannot be delivered raises: nothing is counted and dropped.

    After a DeliveryError nothing counts as written that was not acknowledged before it: the process ends without a
    commit, and begins again.
    """

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Hand over in order; of each answer no reader sees the decision before the alert.

        It may return before everything is acknowledged, so that the next batch is worked on meanwhile; see `flush`.

        Raises:
            DeliveryError: when this, or what was handed over before, could not be delivered.
        """

    def flush(self) -> None:
        """Return when everything written so far is acknowledged, to the sink's stated degree.

        Raises:
            DeliveryError: when something was not.
        """

    def close(self) -> None:
        """Flush, unless a delivery has failed already, and release; a second call does nothing."""


class Tokens(msgspec.Struct, frozen=True, eq=False):
    """What a network reads of some events' entities, as of each event, before it was absorbed.

    `raw`, `sums` and `codes` float32 (rows, sides, ...), sides in order: card, merchant, device; `text` int64 (rows,
    ...). Their shapes and what a column means stand in `fraud/core/tokens.py`.
    """

    raw: NDArray[np.float32]
    sums: NDArray[np.float32]
    codes: NDArray[np.float32]
    text: NDArray[np.int64]


class Histories(Protocol):
    """What the rows of one matrix could read of their entities; nothing is decoded before it is asked for."""

    def tokens(self, rows: Sequence[int] | NDArray[np.intp], sides: int) -> Tokens:
        """Return the tokens of some rows, in the order given, for the first `sides` sides."""

    def events(self, row: int, sides: int) -> NDArray[np.int64]:
        """Return which events one row's raw tokens are of, int64 (sides, RAW, 2): hash of the transaction, time in us.

        The hash is signed; zeros where there is no event.
        """


class Encoder(Protocol):
    """What computes the codes that histories are kept with."""

    @property
    def encoder(self) -> str:
        """Return the version of what computes codes; the empty string when nothing does: no history is kept."""

    def encode(self, blocks: Matrix) -> Codes:
        """Return the code of each block of events, float32 (blocks, CODE), from float32 (blocks, BLOCK, STATIC).

        A block's code depends on nothing else. Called at the end of a batch, after its events are scored.
        """


class WorkingSet(Protocol):
    """The state one batch touches, read once, changed in place, written back once."""

    def first_answer(self, tx_id: str, version: int, seen_at: int = 0) -> Answer | None:
        """Return the answer that lies under this name (`identity.answer_name`) and version, by any batch so far.

        `seen_at` is when it is asked for by the stream's time: a store that keeps answers by that time gives none that
        is past the retry horizon, however large the batch.
        """

    def keep(self, answer: Answer) -> None:
        """Remember an answer made in this batch as the first one."""


class StateStore(Protocol):
    """Where entity state lives, embedded or shared.

    Promises: a record at or below an entity's applied offset is never applied twice; increments commute;
    the first answer to a transaction wins; what `write` returned for is durable to the store's stated degree;
    `snapshot` followed by `restore` gives the same answers as no interruption. An answer lies under the
    id and version of its payment, that of a second payment under one id beside it (`identity.answer_name`).
    """

    def read(self, batch: Sequence[Arrival], encoder: Encoder | None = None) -> WorkingSet:
        """Read every entity, applied offset and first answer the batch can touch, in one round trip.

        With an encoder its histories are read too; each encoder has histories of its own, side by side.
        """

    def write(self, work: WorkingSet, answers: Sequence[Answer]) -> list[Answer]:
        """Store first answers, then entity records, in one round trip; return the winning answers, in order.

        The winner may be of another payment under the same id, which somebody else has taken in meanwhile: then nothing
        of this one is in the state.
        """

    def snapshot(self) -> bytes:
        """Return the whole state, applied offsets included."""

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole state; raise StateError when the layout differs."""

    def applied_offsets(self) -> dict[tuple[str, int], int]:
        """Return the highest offset applied for each (topic, partition)."""

    def put_answers(self, answers: Sequence[Answer]) -> None:
        """Make published answers the first ones again, where a restart of the store has lost or changed them."""

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """Let first answers age, by (`identity.answer_name`, version): nothing before them is read again."""

    def forget(self, card: str) -> int:
        """Erase a card and its pairs; return how many records went."""


class Extractor(Protocol):
    """How a transaction becomes numbers. `look` reads, `absorb` writes; the order is the leak guard."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the feature names, in vector order."""

    @property
    def version(self) -> str:
        """Return the feature spec's version, a hash of the declared table."""

    def open(self, batch: Sequence[Arrival], encoder: Encoder | None = None, *, reads: bool = True) -> WorkingSet:
        """Begin a batch: read its working set, with the histories of an encoder if one is given.

        Without `reads` nobody asks for `histories`: they are added to, and that is all. The state is left the same.
        """

    def look(self, tx: Transaction) -> Values:
        """Return the vector of `tx` from what was absorbed before it; change nothing."""

    def absorb(self, tx: Transaction, position: Position | None) -> tuple[Mark, ...]:
        """Add `tx` to the state of its entities; return what was unusual, such as `redelivered` or `correction`."""

    def apply(self, label: KnownLabel, position: Position | None) -> None:
        """Add what became known of an earlier payment to its entities; without a position it is always applied."""

    def histories(self, ids: Sequence[str]) -> Histories | None:
        """Return what `look` could read of these transactions' entities; None when no encoder was given."""

    def unusual(self, values: Values) -> bool:
        """Tell whether a vector's amount stood out against the card's own history."""

    def close(self, answers: Sequence[Answer]) -> list[Answer]:
        """End the batch: write the working set; return the winning answers, in order."""


class Scorer(Encoder, Protocol):
    """How numbers become a probability.

    A model's score carries, beside the shares of its parts, its log-odds (part `base`) and the exit taken (`exit`); a
    score at level `rules` carries neither, for no model has spoken.

    Promises: score, shares and reasons of a row do not depend, to the last bit, on the other rows of its batch nor on
    how many there are; scoring and explaining change nothing, neither what they are given nor what they say next.
    """

    @property
    def version(self) -> str:
        """Return the version that decisions record."""

    @property
    def spec_version(self) -> str:
        """Return the feature spec the scorer was fitted on, or the empty string when it takes any."""

    def score(self, ids: Sequence[str], matrix: Matrix, histories: Histories | None = None) -> list[Score]:
        """Return a score per row of `matrix`, float32 of shape (rows, features), in order, each in [0, 1].

        NaN means missing.

        `histories` speaks of the same rows; it is None for a scorer without an encoder.
        """

    def explain(self, values: Values, score: Score, histories: Histories | None = None, row: int = 0) -> Explanation:
        """Return the strongest reasons for one score, by size of effect; costly, so called above approve only.

        Each is a ground to hold the payment: what has not raised the score, or has nothing to say for it, is not told.
        What no group accounts for comes last, as `interaction`, whatever its size. `row` is the place of the event in
        `histories`.
        """


class ReadsNoHistory:
    """The part of a scorer that reads vectors only: no encoder, no codes."""

    @property
    def encoder(self) -> str:
        """Return the empty string."""
        return ""

    def encode(self, blocks: Matrix) -> Codes:
        """Raise: nobody asks a scorer without an encoder."""
        msg = f"{type(self).__name__} has no encoder, so {len(blocks)} blocks cannot be encoded: ask `encoder` first"
        raise NotImplementedError(msg)


class TimeLeft(Protocol):
    """How much time a decision may take. The engine has no clock: a live worker gives it one, a replay has time."""

    def explains(self) -> bool:
        """Tell whether there is time for the model's own reasons of one more decision of this batch."""


class RuleOutcome(msgspec.Struct, frozen=True):
    """What the analyst rules say of one transaction.

    `floor` is the least score, `at_least` the mildest action allowed, `at_most` the hardest (an allow list); `blocked`
    says that a block list has decided.
    """

    reasons: tuple[Reason, ...] = ()
    floor: float = 0.0
    at_least: Action | None = None
    at_most: Action | None = None
    blocked: bool = False


def blocked_by(reason: Reason) -> RuleOutcome:
    """Return the outcome of a block list: it declines for that one reason, and nothing else is asked."""
    return RuleOutcome((reason,), at_least=Action.DECLINE, blocked=True)


class RuleBook(Protocol):
    """Analyst rules, compiled once. Outcomes depend on nothing but the transaction, its vector and the rules' text.

    One more thing counts where cards are blocked while a service runs: which ones are, see `BlockedCards`.
    """

    @property
    def version(self) -> str:
        """Return a hash of the rules' text."""

    def judge(self, tx: Transaction, values: Values) -> RuleOutcome:
        """Return the joint outcome of every rule and list that matches, each with its reason; change nothing."""


class Policy(Protocol):
    """Score to action. At any amount a higher score never gives a milder action."""

    @property
    def version(self) -> str:
        """Return a hash of the thresholds and costs: each of them changes it."""

    def action(self, score: float, base_amount: int) -> Action:
        """Return the action for a calibrated probability and an amount in minor units."""

    def expected_loss(self, score: float, base_amount: int) -> int:
        """Return probability times amount at risk, in minor units, 0 or more."""

    def at_stake(self, action: Action, score: float, base_amount: int) -> int:
        """Return the expected cost, in minor units, 0 or more, of leaving a payment of this action alone.

        A held payment ends as its time-out says. Where the action is harder than the score's own, a rule or a list
        has asked for it: the score then counts as the least that takes the action.
        """
