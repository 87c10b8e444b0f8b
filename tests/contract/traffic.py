"""Random event streams over few entities, so that they collide: late, repeated and corrected payments and labels."""

from typing import NamedTuple

import msgspec
from hypothesis import strategies as st

from fraud.core.records import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Arrival,
    Event,
    Kind,
    KnownLabel,
    Label,
    LabelSource,
    Position,
    Transaction,
    Verdict,
)

START = 20_000 * DAY + 5 * HOUR
PAUSES = (0, SECOND, 40 * SECOND, 3 * MINUTE, 25 * MINUTE, 5 * HOUR, DAY, 5 * DAY)
LATENESS = (0, 0, 0, 0, 90 * SECOND, 2 * HOUR, 2 * DAY, 33 * DAY)
AMOUNTS = (0, 1, 50, 999, 1_000, 2_345, 12_000, 49_999, 250_000, 5_000_000, 90_000_000)
CHANNELS = ("pos", "ecom", "", "atm", "moto", "other")
PAYMENTS, LABELS = "transactions", "labels.known"


class Step(NamedTuple):
    """One drawn step; `target` picks the earlier payment that a label, repeat or correction speaks of."""

    verb: str
    card: int
    merchant: int
    device: int
    amount: int
    pause: int
    late: int
    target: int
    fraud: bool


PLAIN = ("pay", "pay", "pay", "pay", "refund", "label")
FULL = (*PLAIN, "label", "label", "again", "repeat", "correct", "move")


def steps(verbs: tuple[str, ...] = FULL, most: int = 40, cards: int = 3) -> st.SearchStrategy[list[Step]]:
    """Return a strategy of step lists that use only `verbs`."""
    step = st.builds(
        Step,
        verb=st.sampled_from(verbs),
        card=st.integers(0, cards - 1),
        merchant=st.integers(0, 2),
        device=st.integers(0, 2),
        amount=st.integers(0, len(AMOUNTS) - 1),
        pause=st.integers(0, len(PAUSES) - 1),
        late=st.integers(0, len(LATENESS) - 1),
        target=st.integers(0, 1_000),
        fraud=st.booleans(),
    )
    return st.lists(step, min_size=1, max_size=most)


class Script:
    """Steps to arrivals, as a source makes them: positions rise, `seen_at` never falls, labels know their payment."""

    def __init__(self) -> None:
        self.now = START
        self.arrivals: list[Arrival] = []
        self.payments: list[Transaction] = []
        self.verdicts: dict[str, KnownLabel] = {}
        self._offsets: dict[tuple[str, int], int] = {}
        self._newest: dict[str, Transaction] = {}

    def play(self, step: Step) -> None:
        """Append what one step causes; a step that needs an earlier payment and finds none is a payment."""
        self.now += PAUSES[step.pause]
        verb = step.verb if self.payments or step.verb == "refund" else "pay"
        getattr(self, "_" + verb)(step)

    def _pay(self, step: Step, kind: Kind = Kind.PAYMENT) -> None:
        tx = Transaction(
            id=f"t{len(self.payments)}",
            card=f"card{step.card}",
            merchant=f"shop{step.merchant}",
            device=f"phone{step.device}" if step.device else None,
            amount=AMOUNTS[step.amount],
            base_amount=AMOUNTS[step.amount],
            happened_at=self.now - LATENESS[step.late],
            seen_at=self.now,
            kind=kind,
            channel=CHANNELS[step.target % len(CHANNELS)],
            mcc=5_000 + step.merchant,
        )
        self.payments.append(tx)
        self._newest[tx.id] = tx
        self._send(tx, PAYMENTS, step.card % 2)

    def _refund(self, step: Step) -> None:
        self._pay(step, Kind.REFUND)

    def _label(self, step: Step) -> None:
        """Give the target a verdict; a second one corrects the first, an equal one says nothing new."""
        tx = self._target(step)
        verdict = Verdict.FRAUD if step.fraud else Verdict.GENUINE
        before = self.verdicts.get(tx.id)
        if before is not None and before.verdict is verdict:
            return
        label = KnownLabel(
            tx_id=tx.id,
            verdict=verdict,
            source=tuple(LabelSource)[step.amount % 3],
            happened_at=self.now,
            seen_at=self.now,
            card=tx.card,
            merchant=tx.merchant,
            device=tx.device,
            paid_at=tx.happened_at,
            base_amount=tx.base_amount,
            unusual=step.late % 2 == 1,
            replaces=before.verdict if before else None,
            replaces_at=before.happened_at if before else 0,
        )
        self.verdicts[tx.id] = label
        self._send(label, LABELS, int(tx.card[-1]) % 2)

    def _again(self, step: Step) -> None:
        """Deliver an earlier record again, at its own position."""
        self.arrivals.append(self.arrivals[step.target % len(self.arrivals)])

    def _repeat(self, step: Step) -> None:
        """Send an earlier payment again, at another position."""
        tx = self._target(step)
        self._send(msgspec.structs.replace(tx, seen_at=self.now), PAYMENTS, int(tx.card[-1]) % 2)

    def _correct(self, step: Step, merchant: str | None = None) -> None:
        """Send a new version of an earlier payment: another amount or kind, perhaps another merchant or device."""
        old = self._newest[self._target(step).id]
        tx = msgspec.structs.replace(
            old,
            version=old.version + 1,
            seen_at=self.now,
            amount=AMOUNTS[step.amount],
            base_amount=AMOUNTS[step.amount],
            kind=Kind.REFUND if step.late == 1 else old.kind,
            merchant=merchant or old.merchant,
            device=f"phone{step.device}" if step.device else None,
        )
        self._newest[tx.id] = tx
        self._send(tx, PAYMENTS, int(tx.card[-1]) % 2)

    def _move(self, step: Step) -> None:
        self._correct(step, f"shop{step.merchant}")

    def _target(self, step: Step) -> Transaction:
        return self.payments[step.target % len(self.payments)]

    def _send(self, event: Event, topic: str, partition: int) -> None:
        offset = self._offsets.get((topic, partition), -1) + 1
        self._offsets[topic, partition] = offset
        self.arrivals.append(Arrival(event, Position(topic, partition, offset)))


def arrivals(drawn: list[Step]) -> list[Arrival]:
    """Return the stream that steps describe; labels come joined with their payment."""
    script = Script()
    for step in drawn:
        script.play(step)
    return script.arrivals


def unjoined(stream: list[Arrival]) -> list[Arrival]:
    """Return the stream with plain labels, as they reach an engine that has a label book."""
    return [
        msgspec.structs.replace(arrival, event=plain(arrival.event))
        if isinstance(arrival.event, KnownLabel)
        else arrival
        for arrival in stream
    ]


def plain(known: KnownLabel) -> Label:
    """Return what was said before it was joined."""
    return Label(
        tx_id=known.tx_id,
        verdict=known.verdict,
        source=known.source,
        happened_at=known.happened_at,
        seen_at=known.seen_at,
    )


def renumbered(stream: list[Arrival]) -> list[Arrival]:
    """Return the stream with fresh positions that rise in its order."""
    offsets: dict[tuple[str, int], int] = {}
    out = []
    for arrival in stream:
        at = arrival.position
        offset = offsets.get((at.topic, at.partition), -1) + 1
        offsets[at.topic, at.partition] = offset
        out.append(msgspec.structs.replace(arrival, position=Position(at.topic, at.partition, offset)))
    return out
