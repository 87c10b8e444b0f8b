"""Batch form of hierarchical block attention: what queries at any positions of one whole history read, with gradients.

What is served reads a history row that is kept up to date event by event (`features/state/history.py`). Here a summary
is what it means: the mean and maximum of the codes of a range of blocks and the verdicts that fall in its time, not the
outcome of pushes and merges. A test holds the tokens of both forms to each other, so this form checks those rows.

Top to bottom: a history and its queries, look-up tables, events and known frauds, summaries.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fraud.core import tokens as tk
from models.tgn.attention import BlockEncoder
from models.tgn.reading import HierarchicalAttention
from models.tgn.spans import merged, pushed, spans_after, spans_of

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

SECOND = 1_000_000
LOGS_PER_STEP = tk.LOG_SCALE // tk.SUM_LOG_SCALE


# ---- a history, and who asks


class Events(NamedTuple):
    """An entity's n events in the order of absorption; times in us."""

    tx: I64  # (n,) ids, which break ties of time as unsigned numbers
    at: I64
    log: I64  # (n,) log amounts in steps of 1 / LOG_SCALE
    other: I64  # (n,) hashes of the counterparties
    mcc: I64
    text: I64
    static: F32  # (n, STATIC)


class Verdicts(NamedTuple):
    """Its m verdicts in the order in which they came; times in us."""

    event: I64  # (m,) the number of the event that the verdict is on
    fraud: Bools
    silent: Bools
    given: I64
    after: I64  # (m,) events absorbed before it came; never falls
    carried: F32  # (m, STATIC) what the verdict itself knows of its payment, used when the ring has let go of it


class History(NamedTuple):
    """What happened to one entity."""

    events: Events
    verdicts: Verdicts


class Queries(NamedTuple):
    """Positions of a history: each sees the events and the verdicts before it, and nothing else."""

    after: I64  # (q,) events before it
    seen: I64  # (q,) verdicts before it
    at: I64  # (q,) us
    log: I64
    other: I64
    mcc: I64
    text: I64
    static: F32  # (q, STATIC)

    def part(self, rows: slice) -> "Queries":
        """Return some of the queries."""
        return Queries._make(field[rows] for field in self)


class Tokens(NamedTuple):
    """What queries read: raw (q, RAW, RAW_COLUMNS), sums (q, SUMS, SUM_COLUMNS), codes (q, SUMS, CODE)."""

    raw: Tensor
    sums: Tensor
    codes: Tensor


def attend(network: HierarchicalAttention, history: History, queries: Queries, chunk: int = 256) -> Tensor:
    """Return what each query finds, (q, d)."""
    parts = read(network.encoder, history, queries, chunk)
    return torch.cat([network(torch.from_numpy(some.static), *tokens) for some, tokens in parts])


def read(
    encoder: BlockEncoder, history: History, queries: Queries, chunk: int = 256
) -> Iterator[tuple[Queries, Tokens]]:
    """Yield the queries, `chunk` at a time, with what they read; the codes carry gradients."""
    needed = int(pushed(queries.after).max(initial=0))  # newer blocks are read event by event
    codes = encode(encoder, torch.from_numpy(history.events.static[: needed * tk.BLOCK]))
    blocks = blocks_of(history.events)
    known = known_of(history, blocks)
    for start in range(0, len(queries.at), chunk):
        some = queries.part(slice(start, start + chunk))
        spans = spans_of(pushed(some.after))
        raw = np.concatenate([window(history, some, known), frauds(history, some, known)], 1)
        sums = summaries(history, some, spans, blocks, known)
        which = torch.zeros(len(spans), dtype=torch.int64)
        read_codes = merged(codes[None], which, torch.from_numpy(spans))
        yield some, Tokens(torch.from_numpy(raw), torch.from_numpy(sums), read_codes)


def encode(encoder: BlockEncoder, static: Tensor, chunk: int = 32) -> Tensor:
    """Return the codes (n // BLOCK, CODE) of the closed blocks of events (n, STATIC), so many blocks at a time."""
    blocks = static[: len(static) // tk.BLOCK * tk.BLOCK].reshape(-1, tk.BLOCK, tk.STATIC)
    if not len(blocks):
        return static.new_zeros(0, tk.CODE)
    return torch.cat([encoder(part) for part in torch.split(blocks, chunk)])


# ---- look-up tables


class Blocks(NamedTuple):
    """What is counted of each closed block, verdicts apart; times in s."""

    first: I64  # (N,)
    last: I64  # (N,) never falls: the block's newest second, or that of a block before
    logs: I64  # (N + 1,) log amounts of the blocks before each, in steps of 1 / SUM_LOG_SCALE


def blocks_of(events: Events) -> Blocks:
    """Return the time ranges and the amounts of all closed blocks."""
    closed = len(events.at) // tk.BLOCK
    at = (events.at[: closed * tk.BLOCK] // SECOND).reshape(-1, tk.BLOCK)
    last = np.maximum.accumulate(at.max(1))
    first = np.maximum(at[:, 0], np.concatenate([[0], last])[:closed])
    sums = events.log[: closed * tk.BLOCK].reshape(-1, tk.BLOCK).sum(1)
    logs = (sums + LOGS_PER_STEP // 2) // LOGS_PER_STEP
    return Blocks(first, last, np.concatenate([[0], logs.cumsum()]).astype(np.int64))


class Known(NamedTuple):
    """A history's m verdicts, made ready to be looked up."""

    keys: I64  # (m,) event * (m + 1) + position, sorted
    replaced: I64  # (m,) position of the next verdict on the same event, else m
    place: I64  # (m,) block whose time range the payment falls in
    pushed_at: I64  # (m,) events absorbed when the event's own block becomes a summary
    counted: Bools  # (m,) not replaced before that
    cleared: I64  # (m,) position of the verdict that took its time out of a summary's span of frauds, else m
    rings: I64  # (m + 1, FRAUDS) newest verdicts on the known frauds after so many verdicts, newest fraud first; -1


def known_of(history: History, blocks: Blocks) -> Known:
    """Return the look-up tables of a history's verdicts."""
    events, verdicts = history
    m, event = len(verdicts.event), verdicts.event
    keys = np.sort(event * (m + 1) + np.arange(m))
    same = np.flatnonzero(keys[1:] // (m + 1) == keys[:-1] // (m + 1))
    replaced = np.full(m, m)
    replaced[keys[same] % (m + 1)] = keys[same + 1] % (m + 1)
    place = np.searchsorted(blocks.last, events.at[event] // SECOND, side="left")
    pushed_at = (event // tk.BLOCK + 1 + tk.CLOSED_IN_WINDOW) * tk.BLOCK
    counted = (replaced == m) | (np.append(verdicts.after, 0)[replaced] >= pushed_at)
    cleared = cleared_at(verdicts, replaced, place, pushed_at)
    return Known(keys, replaced, place, pushed_at, counted, cleared, fraud_rings(history))


def cleared_at(verdicts: Verdicts, replaced: I64, place: I64, pushed_at: I64) -> I64:
    """Return Known.cleared: a summary's span of frauds never narrows, but ends when it holds no known fraud any more.

    So the time of a fraud that was corrected stays in the span for as long as another fraud is known in the summary.
    """
    m, position = len(verdicts.event), np.arange(len(verdicts.event))
    cleared = np.full(m, m)
    for corrected in np.flatnonzero(verdicts.fraud & (replaced < m)).tolist():
        now = replaced[corrected]
        after = verdicts.after[now]
        if pushed_at[corrected] > after:
            continue
        spans = spans_after(int(after) // tk.BLOCK - tk.CLOSED_IN_WINDOW)
        start, end = next((start, end) for _, start, end in spans if start <= place[corrected] < end)
        inside = verdicts.fraud & (position < now) & (pushed_at <= after) & (start <= place) & (place < end)
        if not (inside & (replaced > now)).any():
            cleared[inside] = np.minimum(cleared[inside], now)
    return cleared


def fraud_rings(history: History) -> I64:
    """Return Known.rings: the newest known frauds by (time, id); what was pushed out comes back by a verdict only."""
    events, verdicts = history
    held: list[tuple[int, int, int, int]] = []  # time, id, event, newest verdict
    rings = np.full((len(verdicts.event) + 1, tk.FRAUDS), -1)
    for i, (event, fraud) in enumerate(zip(verdicts.event.tolist(), verdicts.fraud.tolist(), strict=True)):
        held = [one for one in held if one[2] != event]
        if fraud:
            held.append((int(events.at[event]), int(events.tx[event]) % 2**64, event, i))
        held = sorted(held)[-tk.FRAUDS :]
        rings[i + 1, : len(held)] = [one[3] for one in reversed(held)]
    return rings


def latest(known: Known, event: I64, seen: I64) -> I64:
    """Return the position of the newest of the `seen` (q,) verdicts on events (q, k), -1 without one."""
    size = len(known.keys) + 1
    keys = np.append(-1, known.keys)
    found = keys[np.searchsorted(keys, event * size + seen[:, None]) - 1]
    return np.where((found >= 0) & (found // size == event), found % size, -1)


# ---- events


def window(history: History, queries: Queries, known: Known) -> F32:
    """Return the newest 32..47 events before each query, newest first, raw (q, WINDOW, RAW_COLUMNS)."""
    event = queries.after[:, None] - 1 - np.arange(tk.WINDOW)
    shown = event >= pushed(queries.after)[:, None] * tk.BLOCK
    event = np.where(shown, event, 0)
    raw = np.zeros((*event.shape, tk.RAW_COLUMNS), np.float32)
    if not len(history.events.at):
        return raw
    raw[:, :, : tk.STATIC] = history.events.static[event]
    write_events(raw, queries, history, event, latest(known, event, queries.seen), np.ones(event.shape, np.bool_))
    raw[:, :, tk.EVENTS_SINCE] = np.log1p(queries.after[:, None] - event) / tk.SINCE_SCALE
    return raw * shown[:, :, None]


def frauds(history: History, queries: Queries, known: Known) -> F32:
    """Return the known frauds from before each query's window, newest first, raw (q, FRAUDS, RAW_COLUMNS)."""
    events, verdicts = history
    raw = np.zeros((len(queries.at), tk.FRAUDS, tk.RAW_COLUMNS), np.float32)
    if not len(verdicts.event):
        return raw
    newest = known.rings[queries.seen]
    event = verdicts.event[newest]
    held = event >= verdicts.after[newest] - tk.RING  # the ring of events still had it when the verdict came
    shown = (newest >= 0) & (event < pushed(queries.after)[:, None] * tk.BLOCK)
    raw[:, :, : tk.STATIC] = np.where(held[:, :, None], events.static[event], verdicts.carried[newest])
    raw[:, :, tk.SINCE_LAST] = 0
    write_events(raw, queries, history, event, newest, held)
    raw[:, :, tk.FROM_FRAUDS] = 1
    order = np.argsort(~shown, axis=1, kind="stable")[:, :, None]
    return np.take_along_axis(raw * shown[:, :, None], order, 1)


def write_events(raw: F32, queries: Queries, history: History, event: I64, verdict: I64, held: Bools) -> None:
    """Write the columns of events (q, k) that depend on the query; `verdict` (q, k) is -1 where none is known.

    Of an event that is not `held`, category and text are not known.
    """
    events, verdicts = history
    at, log, other, mcc, text = (field[:, None] for field in queries[2:7])
    age = np.maximum(at / SECOND - events.at[event] / SECOND, 0)
    raw[:, :, tk.AGE] = np.log1p(age) / tk.AGE_SCALE
    raw[:, :, tk.MONTHS] = np.minimum(age / tk.MONTH, tk.MOST_MONTHS)
    raw[:, :, tk.SAME_OTHER] = events.other[event] == other
    raw[:, :, tk.AMOUNT_GAP] = (events.log[event] - log) / tk.LOG_SCALE
    raw[:, :, tk.SAME_MCC] = held & (events.mcc[event] == mcc) & (mcc != 0)
    raw[:, :, tk.SAME_TEXT] = held & (events.text[event] == text) & (text != 0)
    if len(verdicts.event):
        known = verdict >= 0
        since = np.maximum(at / SECOND - verdicts.given[verdict] // SECOND, 0)
        raw[:, :, tk.KNOWN] = known
        raw[:, :, tk.FRAUD] = known & verdicts.fraud[verdict]
        raw[:, :, tk.SILENT] = known & verdicts.silent[verdict]
        raw[:, :, tk.LABEL_AGE] = known * np.log1p(since) / tk.AGE_SCALE


# ---- summaries


def summaries(history: History, queries: Queries, spans: I64, blocks: Blocks, known: Known) -> F32:
    """Return the counters of the spans (q, SUMS, 3) of each query, sums (q, SUMS, SUM_COLUMNS)."""
    level, start, end = np.moveaxis(spans, 2, 0)
    out = np.zeros((*level.shape, tk.SUM_COLUMNS), np.float32)
    if not len(blocks.first):
        return out
    now, size = queries.at[:, None] / SECOND, (end - start) * tk.BLOCK
    age = np.maximum(now - blocks.last[np.maximum(end - 1, 0)], 0)
    labels, bad = counts(history.verdicts, queries, spans, known)
    out[:, :, tk.SUM_PRESENT], out[:, :, tk.SUM_LEVEL] = 1, level / tk.LEVEL_SCALE
    out[:, :, tk.SUM_COUNT] = np.log1p(size) / tk.COUNT_SCALE
    out[:, :, tk.SUM_KNOWN] = np.log1p(labels) / tk.COUNT_SCALE
    out[:, :, tk.SUM_FRAUDS] = np.log1p(bad) / tk.FRAUDS_SCALE
    out[:, :, tk.SUM_SHARE] = bad / np.maximum(labels, 1)
    out[:, :, tk.SUM_AGE] = np.log1p(age) / tk.AGE_SCALE
    first = blocks.first[np.minimum(start, len(blocks.first) - 1)]
    out[:, :, tk.SUM_FIRST] = np.log1p(np.maximum(now - first, 0)) / tk.AGE_SCALE
    out[:, :, tk.SUM_MONTHS] = np.minimum(age / tk.MONTH, tk.MOST_MONTHS)
    write_fraud_times(out, history, queries, spans, known)
    mean = (blocks.logs[end] - blocks.logs[start]) / np.maximum(size, 1) / tk.SUM_LOG_SCALE
    out[:, :, tk.SUM_AMOUNT] = mean / tk.AMOUNT_SCALE
    out[:, :, tk.SUM_EVENTS] = np.log1p(queries.after[:, None]) / tk.COUNT_SCALE
    out *= (level >= 0)[:, :, None]
    return out


def counts(verdicts: Verdicts, queries: Queries, spans: I64, known: Known) -> tuple[I64, I64]:
    """Return the known verdicts and the known frauds of spans (q, SUMS, 3) as of each query, (q, SUMS) each."""
    order = np.argsort(known.place, kind="stable")
    edges = np.searchsorted(known.place[order], spans[:, :, 1:])  # (q, SUMS, 2)
    seen, after = queries.seen[:, None], queries.after[:, None]
    current = (order < seen) & (known.replaced[order] >= seen) & (known.pushed_at[order] <= after)
    both = np.stack([current, current & verdicts.fraud[order]])
    total = np.pad(both.cumsum(2), ((0, 0), (0, 0), (1, 0)))  # (2, q, m + 1)
    row = np.arange(len(spans))[:, None]
    labels, bad = total[:, row, edges[:, :, 1]] - total[:, row, edges[:, :, 0]]
    return labels, bad


def write_fraud_times(out: F32, history: History, queries: Queries, spans: I64, known: Known) -> None:
    """Write into sums (q, SUMS, SUM_COLUMNS) when the frauds of each span were paid that count towards its times."""
    events, verdicts = history
    i = np.flatnonzero(known.counted & verdicts.fraud)
    seen = queries.seen[:, None]
    there = (i < seen) & (known.cleared[i] >= seen) & (known.pushed_at[i] <= queries.after[:, None])  # (q, f)
    place = known.place[i]
    inside = (spans[:, :, 1, None] <= place) & (place < spans[:, :, 2, None]) & there[:, None]  # (q, SUMS, f)
    age = np.maximum(queries.at[:, None] / SECOND - events.at[verdicts.event[i]] // SECOND, 0)
    newest = np.where(inside, age[:, None], np.inf).min(2, initial=np.inf)
    oldest = np.where(inside, age[:, None], 0).max(2, initial=0)
    some = inside.any(2)
    out[:, :, tk.SUM_HAS_FRAUD] = some
    out[:, :, tk.SUM_LAST_FRAUD] = np.log1p(np.where(some, newest, 0)) / tk.AGE_SCALE
    out[:, :, tk.SUM_FIRST_FRAUD] = np.log1p(oldest) / tk.AGE_SCALE
