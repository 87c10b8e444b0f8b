"""Turn transactions into numbers: `look` reads, `absorb` writes, in that order, one event at a time.

The extractor holds no state of its own. `open` has the store read a working set, `look`, `absorb` and `apply` work on
its rows in place, `close` has the store write it back.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.descriptors import text_hash
from features.histories import APPEND, HistoryBatch, Looked
from features.own_columns import OwnColumns
from features.spec import UNUSUAL_RATIO, spec
from features.state import events as ev
from features.state import history as hs
from features.state import layout as at
from features.state.tables import card_key, device_key, hash64, merchant_key, pair_key
from features.state.update import (
    CARD_BIT,
    CORRECTION,
    DEVICE_BIT,
    EVERY_ROW,
    FRESH,
    MERCHANT_BIT,
    PAIR_BIT,
    REPEATED,
    REUSED,
    SUPERSEDED,
    UNMATCHED,
    absorb,
    absorb_again,
    apply,
    holds,
    log_ratio,
    predecessor,
    retract,
)
from features.state.vector import WIDTH
from features.state.vector import look as read_vector
from features.state.windows import prepare
from features.stores.working_set import EVERY_SIDE, Change, TableSet, TableStore
from fraud.core.attributes.declaration import NOTHING, Declaration
from fraud.core.identity import own_name
from fraud.core.ports import Encoder
from fraud.core.records import (
    Answer,
    Arrival,
    Kind,
    KnownLabel,
    LabelSource,
    Mark,
    Position,
    Transaction,
    Values,
    Verdict,
)

Ints = NDArray[np.int64]

PRESENCE = {"pos": 2, "atm": 2, "ecom": 1, "moto": 1}
SOURCE_CODE = {LabelSource.CHARGEBACK: 0, LabelSource.ANALYST: 1, LabelSource.SILENCE: 2}
SAID = {Verdict.GENUINE: at.SAID_GENUINE, Verdict.FRAUD: at.SAID_FRAUD, Verdict.WITHDRAWN: at.SAID_NOTHING}
MARK_OF = {
    REPEATED: Mark.REPEATED,
    SUPERSEDED: Mark.SUPERSEDED,
    CORRECTION: Mark.CORRECTION,
    UNMATCHED: Mark.CORRECTION_UNMATCHED,
}


def keys_of(event: Transaction | KnownLabel) -> tuple[str, str, str, str]:
    """Return the keys of card, merchant, device (empty when none) and pair."""
    device = device_key(event.device) if event.device is not None else ""
    return card_key(event.card), merchant_key(event.merchant), device, pair_key(event.card, event.merchant)


def flags_of(tx: Transaction) -> int:
    """Return the flag bits of a transaction: bit 0 money flows back, bits 1-2 whether the card was present."""
    return (tx.kind is not Kind.PAYMENT) | (PRESENCE.get(tx.channel, 0) << 1)


class OnlineExtractor:
    """The Extractor port over a state store of record tables."""

    def __init__(self, store: TableStore, digits: int = 2, declared: Declaration = NOTHING) -> None:
        """Keep the store; nothing is read before `open`.

        `digits` are those of the base currency's minor unit; vectors have the own columns `declared`.
        """
        self._store, self._unit = store, 10.0**digits
        self._own = OwnColumns(declared, digits)
        self._work: TableSet | None = None
        self._change: Ints = np.zeros(at.CHANGE_FIELDS, np.int64)
        self._old: Ints = np.zeros(at.CHANGE_FIELDS, np.int64)
        self._rows: Ints = np.zeros(4, np.int64)
        self._described: Transaction | None = None
        self._histories = HistoryBatch()
        self._keeps_histories = False
        self._event: Ints = np.zeros(ev.EVENT_FIELDS, np.int64)
        self._verdict: Ints = np.zeros(ev.VERDICT_FIELDS, np.int64)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the feature names, in vector order."""
        return self._own.spec.names

    @property
    def version(self) -> str:
        """Return the version of the declared feature table."""
        return self._own.spec.version

    def open(self, batch: Sequence[Arrival], encoder: Encoder | None = None, *, reads: bool = True) -> TableSet:
        """Read the working set of a batch, with the histories of an encoder if one is given."""
        self._work = self._store.read(batch, encoder)
        self._keeps_histories = self._histories.open(self._work, reads=reads)
        return self._work

    def look(self, tx: Transaction) -> Values:
        """Return the vector of `tx`, float32 of shape (features,), from what was absorbed before it."""
        work = self._working
        self._describe(tx)
        keys = card, merchant, device, pair = keys_of(tx)
        if self._keeps_histories:
            self._histories.look(tx, keys, self._change)
        find = work.entities.find
        self._rows[:] = (find(card), find(merchant), find(device) if device else -1, work.pairs.find(pair))
        out: Values = np.empty(WIDTH + self._own.width, np.float32)
        read_vector(work.entities.rows, work.pairs.rows, self._rows, self._change, self._unit, out)
        if self._own.width:
            self._own.fill(tx, out[WIDTH:])
        return out

    def absorb(self, tx: Transaction, position: Position | None) -> tuple[Mark, ...]:
        """Add `tx` to its entities; return what was unusual: redelivered, repeated, superseded, correction."""
        work, keys = self._working, keys_of(tx)
        mask, sides = self._admitted(keys, position)
        if not mask | sides:
            return (Mark.REDELIVERED,)
        if (changes := work.recorded(position)) is not None:
            self._complete(changes, mask, sides, position)
            if sides and not any(kind == APPEND for kind, _, _ in changes):
                self._append_late(tx, keys, sides, position)
            return (Mark.REDELIVERED,)
        if not mask:
            # Histories of an encoder that was taken up since.
            self._append_late(tx, keys, sides, position)
        if mask != EVERY_ROW:
            # Some rows are past this position and no first attempt is on record: it was taken in, or was a repeat
            # that changed nothing and moved no applied offset.
            return (Mark.REDELIVERED,)
        self._describe(tx)
        self._place(keys)
        return self._take_in(tx, keys, sides, position)

    def apply(self, label: KnownLabel, position: Position | None) -> None:
        """Add a verdict to its entities, taking out the one it replaces; a withdrawn one adds none."""
        work, keys = self._working, keys_of(label)
        mask, sides = self._admitted(keys, position)
        if not mask | sides:
            return
        self._place(keys)
        said = self._verdict[: at.LABEL_FIELDS]
        said[:] = label_fields(label)
        if mask:
            apply(work.entities.rows, work.pairs.rows, self._rows, said, mask)
            work.applied("apply", keys, said.tobytes(), position)
        if sides:
            self._verdict[ev.V_AMOUNT] = label.base_amount
            self._verdict[ev.V_CARD], self._verdict[ev.V_MERCHANT] = (
                self._change[at.C_CARD],
                self._change[at.C_MERCHANT],
            )
            self._histories.apply(keys, self._verdict, sides, position)

    def close(self, answers: Sequence[Answer]) -> list[Answer]:
        """Write the working set back, with the codes of the blocks that it closed; return the winning answers."""
        if self._keeps_histories:
            self._histories.encode()
        work, self._work = self._working, None
        return self._store.write(work, answers)

    def histories(self, ids: Sequence[str]) -> Looked | None:
        """Return what `look` could read of these transactions' entities; None when no encoder was given."""
        return self._histories.histories(ids)

    def unusual(self, values: Values) -> bool:
        """Tell whether a vector's amount stood out against the card's own median."""
        return bool(values[UNUSUAL_COLUMN] >= UNUSUAL_RATIO)

    @property
    def _working(self) -> TableSet:
        if self._work is None:
            msg = "no batch is open: call open(batch) before look, absorb, apply or close"
            raise RuntimeError(msg)
        return self._work

    def _describe(self, tx: Transaction) -> None:
        """Put `tx` into the change at hand; `absorb` finds there what `look` of the same record has prepared."""
        if tx is self._described:
            return
        self._described, change = tx, self._change
        change[:] = 0
        change[at.C_AT] = tx.happened_at // at.MICROSECOND_NS
        change[at.C_AMOUNT] = tx.base_amount
        change[at.C_TX] = hash64(tx.id)
        change[at.C_MCC] = tx.mcc
        change[at.C_FLAGS] = flags_of(tx)
        change[at.C_VERSION] = tx.version
        change[at.C_SIGN] = 1
        change[at.C_COUNTED] = tx.kind is Kind.PAYMENT
        prepare(change)

    def _place(self, keys: tuple[str, str, str, str]) -> None:
        entities, pairs = self._working.entities, self._working.pairs
        card, merchant = entities.ensure(keys[0]), entities.ensure(keys[1])
        device = entities.ensure(keys[2]) if keys[2] else -1
        self._rows[:] = (card, merchant, device, pairs.ensure(keys[3]))
        hashes, change = entities.hashes, self._change
        change[at.C_CARD], change[at.C_MERCHANT] = hashes[card], hashes[merchant]
        change[at.C_DEVICE] = hashes[device] if device > 0 else 0

    def _admitted(self, keys: tuple[str, str, str, str], position: Position | None) -> tuple[int, int]:
        """Return which rows, and which histories, have not applied this position yet."""
        work = self._working
        return work.admits(keys, position), work.admits_history(keys, position) if self._keeps_histories else 0

    def _take_in(
        self, tx: Transaction, keys: tuple[str, str, str, str], sides: int, position: Position | None
    ) -> tuple[Mark, ...]:
        """Add a transaction to every row, after what it corrects was taken out; return what was unusual."""
        work, changed = self._working, 0
        relation = predecessor(work.entities.rows, self._rows[0], self._change, self._old)
        if reused := relation == REUSED:
            # Another payment of this card has its id, and the answer to that one is gone.
            self._change[at.C_TX] = hash64(own_name(tx))
            relation = predecessor(work.entities.rows, self._rows[0], self._change, self._old)
            relation = FRESH if relation == REUSED else relation
        if relation == CORRECTION:
            changed = self._retract(keys, position)
        if relation in (FRESH, CORRECTION):
            if sides:
                hs.describe(work.entities.rows, work.pairs.rows, self._rows, self._change, self._event)
            absorb(work.entities.rows, work.pairs.rows, self._rows, self._change, EVERY_ROW)
            work.applied("absorb", keys, self._change.tobytes(), position)
            if sides:
                self._append(tx, keys, (int(relation == CORRECTION), changed), sides, position)
        marks = () if relation == FRESH else (MARK_OF[relation],)
        return (Mark.ID_REUSED, *marks) if reused else marks

    def _append(
        self,
        tx: Transaction,
        keys: tuple[str, str, str, str],
        relation: tuple[int, int],
        sides: int,
        position: Position | None,
    ) -> None:
        """Add the event at hand to its histories; `relation` is (corrects, sides that never held what it corrects)."""
        event = self._event
        event[ev.R_RATIO], event[ev.R_TEXT] = self._change[at.C_RATIO], text_hash(tx.text)
        event[ev.R_CORRECTS], event[ev.R_APPEND] = relation
        self._histories.absorb(keys, event, sides, position)

    def _append_late(
        self, tx: Transaction, keys: tuple[str, str, str, str], sides: int, position: Position | None
    ) -> None:
        """Add to its histories what the rows have absorbed before; what they know of its counterparty is as of now."""
        work = self._working
        self._describe(tx)
        self._place(keys)
        hs.describe(work.entities.rows, work.pairs.rows, self._rows, self._change, self._event)
        self._event[ev.R_PAIR] = max(self._event[ev.R_PAIR] - 1, 0)
        self._change[at.C_RATIO] = log_ratio(work.entities.rows[self._rows[0]], self._change)
        self._append(tx, keys, (1, EVERY_SIDE), sides, position)

    def _complete(self, changes: Sequence[Change], mask: int, sides: int, position: Position | None) -> None:
        """Do what a first attempt at this position began, in the rows that lack it: its own changes, bit by bit."""
        work = self._working
        for kind, keys, fields in changes:
            change = np.frombuffer(fields, np.int64).copy()
            if kind == APPEND:
                if sides:
                    self._histories.absorb(keys, change, sides, position)
                continue
            if not mask:
                continue
            self._place(keys)
            if kind == "absorb":
                absorb_again(work.entities.rows, work.pairs.rows, self._rows, change, mask)
            else:
                within = CARD_BIT | (DEVICE_BIT if keys[2] else 0)
                within |= MERCHANT_BIT | PAIR_BIT if kind == "retract" else 0
                retract(work.entities.rows, work.pairs.rows, self._rows, change, mask & within)
            work.applied(kind, keys, fields, position)

    def _retract(self, keys: tuple[str, str, str, str], position: Position | None) -> int:
        """Take the earlier version out of the rows at hand: another merchant's or device's are not among them.

        Return the sides that never held it.
        """
        work, (card, merchant, device, pair) = self._working, keys
        same = self._old[at.C_MERCHANT] == self._change[at.C_MERCHANT]
        held = device and holds(work.entities.rows[self._rows[2]], self._old)
        mask = CARD_BIT | (DEVICE_BIT if held else 0) | (MERCHANT_BIT | PAIR_BIT if same else 0)
        retract(work.entities.rows, work.pairs.rows, self._rows, self._old, mask)
        touched = card, merchant, device if held else "", pair
        work.applied("retract" if same else "retract-card", touched, self._old.tobytes(), position)
        return (0 if same else MERCHANT_BIT) | (0 if held else DEVICE_BIT)


def label_fields(label: KnownLabel) -> tuple[int, ...]:
    """Return the int64 fields of a label change, in the order of `layout.L_*`."""
    return (
        label.happened_at // at.MICROSECOND_NS,
        SAID[label.verdict],
        hash64(label.tx_id),
        label.paid_at // at.MICROSECOND_NS,
        int(label.unusual),
        SOURCE_CODE[label.source],
        label.replaces_at // at.MICROSECOND_NS,
        int(label.replaces is Verdict.FRAUD),
        int(label.replaces is not None),
    )


UNUSUAL_COLUMN = spec().names.index("card_amount_vs_median")
