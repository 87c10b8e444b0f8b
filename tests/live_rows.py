"""One history row as it is served, events made up for it, and what the batch form is told of the same events."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from features.state import events as ev
from features.state import history as hs
from features.state import layout as at
from features.state import tokens
from features.state.blocks import block_of, put_code
from fraud.core import tokens as tk
from models.tgn.batch import Events

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Encode = Callable[[F32], F32]

START, SECOND, DAY = 1_600_000_000_000_000, 1_000_000, 86_400_000_000
GAPS = (0, 0, SECOND // 3, SECOND, 60 * SECOND, DAY)
"""Times between events, us: some fall into the same second or instant."""
CARD, OTHERS, CODES, TEXTS = 7, (21, 22, 23), (0, 5_411, 5_812), (0, 31, 4_000_000_000)


class LiveRow:
    """A card's row, kept and read by the compiled loops that serve; `encode` turns closed blocks into codes."""

    def __init__(self, encode: Encode) -> None:
        self.encode = encode
        self.row = np.zeros(hs.HISTORY_BYTES, np.uint8)
        self.raw = np.empty((1, tk.RAW, tk.RAW_COLUMNS), np.float32)
        self.sums = np.empty((1, tk.SUMS, tk.SUM_COLUMNS), np.float32)
        self.codes = np.empty((1, tk.SUMS, tk.CODE), np.float32)

    def absorb(self, event: I64) -> None:
        """Add an event, int64 of `EVENT_FIELDS`; the block that it closes is encoded at once."""
        closed = hs.absorb_event(self.row, event, tk.CARD)
        if closed >= 0:
            put_code(self.row, closed, self.encode(block_of(self.row, closed)[None])[0])

    def apply(self, verdict: I64) -> None:
        """Add a verdict, int64 of `VERDICT_FIELDS`."""
        hs.apply_verdict(self.row, verdict, tk.CARD)

    def read(self, query: I64) -> tuple[F32, F32, F32]:
        """Return raw, sums and codes of one query, int64 of `QUERY_FIELDS`; good until the next."""
        tokens.read_tokens(self.row, query, self.raw[0], self.sums[0], self.codes[0])
        return self.raw, self.sums, self.codes


def made(rng: np.random.Generator, count: int, lateness: int = 0) -> tuple[I64, I64]:
    """Return events (count, EVENT_FIELDS), late by up to so many seconds, and when each is absorbed, us."""
    fields = np.zeros((count, ev.EVENT_FIELDS), np.int64)
    seen = START + np.cumsum(rng.choice(GAPS, count))
    fields[:, ev.R_AT] = seen - SECOND * rng.integers(0, lateness + 1, count)
    fields[:, ev.R_TX] = rng.choice(2**62, count, replace=False) * 2 - 2**62
    fields[:, ev.R_AMOUNT] = np.exp(rng.normal(8, 2, count))
    fields[:, ev.R_CARD], fields[:, ev.R_MERCHANT] = CARD, rng.choice(OTHERS, count)
    fields[:, ev.R_MCC], fields[:, ev.R_TEXT] = rng.choice(CODES, count), rng.choice(TEXTS, count)
    fields[:, ev.R_FLAGS] = rng.integers(0, 2, count) | rng.integers(0, 3, count) << 1
    fields[:, ev.R_RATIO] = rng.integers(-2_000, 2_000, count)
    fields[:, ev.R_MERCHANT_LABELS : ev.R_PAIR + 1] = rng.integers(0, 256, (count, 4))
    return fields, seen


def events_of(fields: I64) -> Events:
    """Return what the batch form takes of events (n, EVENT_FIELDS)."""
    tx, when, other, mcc, text = (fields[:, name] for name in (ev.R_TX, ev.R_AT, ev.R_MERCHANT, ev.R_MCC, ev.R_TEXT))
    return Events(tx, when, logs_of(fields), other, mcc, text, static_of(fields))


def logs_of(fields: I64) -> I64:
    """Return log amounts in steps of 1 / LOG_SCALE, (n,)."""
    logs: I64 = np.floor(np.log(1.0 + fields[:, ev.R_AMOUNT]) * tk.LOG_SCALE + 0.5).astype(np.int64)
    return logs


def static_of(fields: I64) -> F32:
    """Return the static columns (n, STATIC) of events, from their definition."""
    out = np.zeros((len(fields), tk.STATIC), np.float32)
    when = fields[:, ev.R_AT]
    out[:, tk.PRESENT], out[:, tk.LOG_AMOUNT] = 1, logs_of(fields) / tk.LOG_SCALE / tk.AMOUNT_SCALE
    day, week = 2 * np.pi * (when % DAY) / DAY, 2 * np.pi * ((when + 3 * DAY) % (7 * DAY)) / (7 * DAY)
    out[:, tk.HOUR_SIN], out[:, tk.HOUR_COS] = np.sin(day), np.cos(day)
    out[:, tk.WEEK_SIN], out[:, tk.WEEK_COS] = np.sin(week), np.cos(week)
    out[1:, tk.SINCE_LAST] = np.log1p(np.maximum(np.diff(when / SECOND), 0)) / tk.AGE_SCALE
    out[:, tk.RATIO] = fields[:, ev.R_RATIO] / 256
    flags, mcc = fields[:, ev.R_FLAGS], fields[:, ev.R_MCC]
    out[:, tk.MONEY_BACK], out[:, tk.CARD_PRESENT] = flags & 1, np.array([0, -1, 1])[flags >> 1]
    bits = (mcc * 2_654_435_761 % 2**32)[:, None] >> (31 - np.arange(tk.MCC_BITS)) & 1
    out[:, tk.MCC : tk.MCC + tk.MCC_BITS] = np.where(mcc[:, None] > 0, 2 * bits - 1, 0)
    labels, frauds, age, pair = fields[:, ev.R_MERCHANT_LABELS : ev.R_PAIR + 1].T
    for column, known in ((tk.OTHER_LABELS, labels), (tk.OTHER_FRAUDS, frauds), (tk.PAIR, pair)):
        out[:, column] = np.log1p(known) / tk.LABELS_SCALE
    out[:, tk.OTHER_AGE] = age / 255
    return out


def verdict_of(event: I64, given: int, fraud: bool, replaces: bool | None, source: int = 0, odd: bool = False) -> I64:
    """Return a verdict (VERDICT_FIELDS,) on an event, given at a time (us); `replaces` is the one before, if any."""
    fields = np.zeros(ev.VERDICT_FIELDS, np.int64)
    fields[at.L_TX], fields[at.L_PAID], fields[at.L_AT] = event[ev.R_TX], event[ev.R_AT], given
    fields[at.L_FRAUD], fields[at.L_SOURCE], fields[at.L_UNUSUAL] = fraud, source, odd
    fields[at.L_REPLACES], fields[at.L_OLD_FRAUD] = replaces is not None, bool(replaces)
    fields[ev.V_AMOUNT], fields[ev.V_CARD], fields[ev.V_MERCHANT] = (
        event[ev.R_AMOUNT], event[ev.R_CARD], event[ev.R_MERCHANT],
    )  # fmt: skip
    return fields
