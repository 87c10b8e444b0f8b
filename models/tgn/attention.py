"""Hierarchical block attention over one entity's events in the order they were absorbed.

A history is cut into blocks of 16 events. Attention is full inside a block, which is pooled to one code of 32 numbers;
older blocks merge, four at a time, into ever longer summaries; a query then attends to the newest events one by one,
to the summaries, and to the newest known frauds. So a query reads at most 83 tokens however long the history is.

Top to bottom: the pieces (block encoder, memory attention); the network that both forms share; the streaming form,
whose state is `models/memory.py`; the batch form, which gives the same results for any positions of a whole history
and its verdicts, with gradients. `models/aggregation.py` offers the same to PyG layers.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fraud.core.tokens import BLOCK, CODE, STATIC
from models import memory
from models.memory import FRAUD, FRAUDS, LEVELS, MONTH, RADIX, RAW, RING, SILENCE, SUM, SUMMARIES, VERDICT, WINDOW

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]
Arrays = Callable[..., F32]

NEVER = -1e9
"""The score of a token that is not there; finite, so that a row without tokens stays a number."""
MARKS = 3
"""Columns that attention adds to tokens: log age, 1 where there is none, 1 where there is one."""


class SelfAttention(nn.Module):
    """One pre-norm layer of full self-attention inside blocks, with its feed-forward part."""

    def __init__(self, d: int, heads: int) -> None:
        """Take the width and the number of heads that share it."""
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d)
        self.mix = nn.Linear(d, d)
        self.between = nn.LayerNorm(d)
        self.feed = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return (N, 16, d) for tokens (N, 16, d); `bias`, (N, 1, 1, 16), is added to the scores."""
        n, length, d = x.shape
        split = self.qkv(self.before(x)).reshape(n, length, 3, self.heads, d // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # each (N, heads, 16, d / heads)
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.mix(seen.transpose(1, 2).reshape(n, length, d))
        out: Tensor = x + self.feed(self.between(x))
        return out


class BlockEncoder(nn.Module):
    """Turn blocks of 16 events into codes: token MLP, self-attention inside the block, learned-query pooling."""

    def __init__(self, d: int = 64, heads: int = 4, layers: int = 1, static: int = STATIC, code: int = CODE) -> None:
        """Take the inner width, the heads that share it, and the number of self-attention layers."""
        super().__init__()
        self.token = nn.Sequential(nn.Linear(static, d), nn.GELU(), nn.Linear(d, d))
        self.place = nn.Parameter(torch.randn(BLOCK, d) * 0.02)
        self.layers = nn.ModuleList(SelfAttention(d, heads) for _ in range(layers))
        self.ask = nn.Linear(d, heads)
        self.code = nn.Linear(heads * d, code)

    def forward(self, blocks: Tensor) -> Tensor:
        """Return codes (N, 32) for blocks (N, 16, 20), oldest event first; absent events are rows of zeros.

        Codes lie in -1..1, so the maximum over 10,000 events stays in the range that short histories train.
        """
        absent = (1 - blocks[:, :, 0]) * NEVER  # (N, 16)
        x = self.token(blocks) + self.place
        for layer in self.layers:
            x = layer(x, absent[:, None, None, :])
        weight = (self.ask(x) + absent[:, :, None]).softmax(1)  # (N, 16, heads): one learned query a head
        pooled = weight.transpose(1, 2) @ x  # (N, heads, d)
        return torch.tanh(self.code(pooled.flatten(1)))


class MemoryAttention(nn.Module):
    """Let one query a row attend to that row's tokens, older ones with less weight.

    Keys and values are absorbed into the query: with one query, scores are `(W_k^T q) . token` and the result is
    `W_v (weights . tokens)`, so no token is ever projected: 2 x heads x d products a token in place of 2 x d x d.
    Age, absence and the score of "nothing" are absorbed too, as three more columns of the tokens (`marked`), for on one
    row an operation costs more than its arithmetic.
    """

    def __init__(self, d: int = 64, heads: int = 4) -> None:
        """Take the width of query and tokens, and the number of heads that share it."""
        super().__init__()
        self.heads, self.size = heads, d // heads
        self.q = nn.Linear(d, d)
        self.k = nn.Parameter(torch.randn(heads, d // heads, d) / d**0.5)
        self.v = nn.Parameter(torch.randn(heads, d, d // heads) / d**0.5)
        self.mix = nn.Linear(d, d)
        self.rate = nn.Parameter(torch.linspace(-2.0, 3.0, heads))
        self.nothing = nn.Parameter(torch.zeros(heads))

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        """Return what each query finds, (B, d), for queries (B, d) and marked tokens (B, T, d + 3)."""
        asked = functional.linear(query, *self.asking()).view(-1, self.heads, self.heads * self.size + MARKS)
        found = looked_up(asked, tokens).flatten(1)
        return found @ self.telling() + self.mix.bias

    def asking(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the map from a query to what it asks of a marked token, (heads (d + 3), d).

        The score of "nothing" is taken off all others: its own is then 0.
        """
        heads, size, d = self.k.shape
        scaled = self.q.weight.view(heads, size, d) * size**-0.5
        weight = self.k.transpose(1, 2) @ scaled  # (heads, d, d)
        bias = (self.q.bias.view(heads, 1, size) * size**-0.5 @ self.k).squeeze(1)  # (heads, d)
        marks = torch.stack([-functional.softplus(self.rate), self.rate.new_full((heads,), NEVER), -self.nothing], 1)
        return padded(weight).view(-1, d), torch.cat([bias, marks], 1).view(-1)

    def telling(self) -> Tensor:
        """Return the map from what the heads found in marked tokens to the answer, (heads (d + 3), d)."""
        heads, d, size = self.v.shape
        weight = self.v @ self.mix.weight.transpose(0, 1).reshape(heads, size, d)
        return padded(weight).view(-1, d)


def padded(weight: Tensor) -> Tensor:
    """Return weights (heads, d, d) as (heads, d + 3, d): the marks take no part."""
    return torch.cat([weight, weight.new_zeros(len(weight), MARKS, weight.shape[2])], 1)


def marked(tokens: Tensor, there: Tensor, log_age: Tensor) -> Tensor:
    """Return tokens (B, T, d + 3): log age, absence and presence added to tokens (B, T, d).

    there (B, T, 1), 1 where there is a token, else 0; log_age (B, T, 1), log1p(age in s) / 15.
    """
    return torch.cat([tokens, log_age, 1 - there, there], 2)


def looked_up(asked: Tensor, tokens: Tensor) -> Tensor:
    """Return what is found (..., heads, D) by what is asked, (..., heads, D), in marked tokens (..., T, D).

    "Nothing" takes part with a score of 0, so a row without tokens finds zeros.
    """
    score = functional.pad(asked @ tokens.transpose(-1, -2), (0, 1))
    return score.softmax(-1)[..., :-1] @ tokens


class Reading(nn.Module):
    """One layer of a query over its memory: attention to tokens, then a feed-forward part."""

    def __init__(self, d: int, heads: int) -> None:
        """Take the width and the number of heads that share it."""
        super().__init__()
        self.before = nn.LayerNorm(d)
        self.memory = MemoryAttention(d, heads)
        self.between = nn.LayerNorm(d)
        self.feed = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Return (B, d) for queries (B, d) and marked tokens (B, T, d + 3)."""
        x = x + self.memory(self.before(x), tokens)
        out: Tensor = x + self.feed(self.between(x))
        return out


class HierarchicalAttention(nn.Module):
    """The network that both forms share: a block encoder, and queries over events, summaries and known frauds."""

    def __init__(self, d: int = 64, heads: int = 4, layers: int = 2) -> None:
        """Take the width, the heads that share it, and the number of layers, in blocks and of the query."""
        super().__init__()
        self.encoder = BlockEncoder(d, heads, layers)
        self.query = nn.Linear(STATIC, d)
        self.raw = nn.Sequential(nn.Linear(RAW, d), nn.GELU())
        self.sums = nn.Sequential(nn.Linear(SUM + CODE, d), nn.GELU())
        self.layers = nn.ModuleList(Reading(d, heads) for _ in range(layers))
        self.after = nn.LayerNorm(d)

    def forward(self, query: Tensor, raw: Tensor, sums: Tensor) -> Tensor:
        """Return (B, d) for queries (B, 20) that read raw (B, 64, 32) and sums (B, 20, 48)."""
        tokens = torch.cat([self.raw(raw), self.sums(sums)], 1)  # (B, 84, d)
        there = torch.cat([raw[:, :, :1], sums[:, :, :1]], 1)
        tokens = marked(tokens, there, torch.cat([raw[:, :, 20:21], sums[:, :, 6:7]], 1))
        x = self.query(query)
        for layer in self.layers:
            x = layer(x, tokens)
        out: Tensor = self.after(x)
        return out


class Stream:
    """Streaming form over a table of rows, one an entity. Times in whole seconds, static columns float32 (20,).

    `encode` and `answer` take and return arrays as the encoder and the network do; by default these are the network's.
    """

    def __init__(
        self, network: HierarchicalAttention, rows: int = 1, encode: Arrays | None = None, answer: Arrays | None = None
    ) -> None:
        """Make empty rows."""
        self.table = np.zeros(rows, memory.ROW)
        self.encode = encode or without_gradient(network.encoder)
        self.answer = answer or without_gradient(network)
        self.block = np.zeros((1, BLOCK, STATIC), np.float32)
        self.raw = np.zeros((1, WINDOW + FRAUDS, RAW), np.float32)
        self.sums = np.zeros((1, SUMMARIES, SUM + CODE), np.float32)

    def absorb(self, who: int, tx: int, at: int, static: F32) -> None:
        """Append an event to a row; every 16th is followed by the encoding of its block."""
        if memory.absorb(self.table, who, tx, at, static):
            memory.newest_block(self.table, who, self.block[0])
            memory.store_code(self.table, who, self.encode(self.block)[0])

    def learn(self, who: int, tx: int, paid_at: int, label: int, at: int, replaced: int, carried: F32) -> None:
        """Take a verdict or a correction, as `models.memory.learn` does."""
        memory.learn(self.table, who, tx, paid_at, label, at, replaced, carried)

    def query(self, who: int, now: int, static: F32) -> F32:
        """Return what an event that is not absorbed yet finds in a row, (d,)."""
        memory.read(self.table, who, now, static, self.raw[0], self.sums[0])
        found: F32 = self.answer(static[None], self.raw, self.sums)[0]
        return found


def without_gradient(module: nn.Module) -> Arrays:
    """Return a module as a function of arrays."""

    def call(*arrays: F32) -> F32:
        with torch.inference_mode():
            out: F32 = module(*map(torch.from_numpy, arrays)).numpy()
        return out

    return call


# Batch form: any positions of a whole history. A summary is here what it means (the mean and maximum of the codes of a
# range of blocks, the verdicts that fall in its time), not the outcome of pushes and merges: so it checks those.


class History(NamedTuple):
    """One entity's n events in the order of absorption, and its m verdicts in the order in which they came."""

    at: I64  # (n,) s
    static: F32  # (n, 20)
    event: I64  # (m,) the number of the event that the verdict is on
    label: I64  # (m,) label bytes
    given: I64  # (m,) s
    after: I64  # (m,) events absorbed before it came; never falls
    carried: F32  # (m, 20) what the verdict itself knows of its payment


class Queries(NamedTuple):
    """Positions of a history: each sees the events and the verdicts before it, and nothing else."""

    after: I64  # (q,) events before it
    seen: I64  # (q,) verdicts before it
    now: I64  # (q,) s
    static: F32  # (q, 20)


def attend(network: HierarchicalAttention, history: History, queries: Queries, chunk: int = 256) -> Tensor:
    """Return what each query finds, (q, d); tokens exist for `chunk` queries at a time."""
    needed = int(pushed(queries.after).max(initial=0))  # newer blocks are read event by event
    codes = encode(network.encoder, torch.from_numpy(history.static[: needed * BLOCK]))
    blocks = blocks_of(history)
    verdicts = verdicts_of(history, blocks)
    out = []
    for start in range(0, len(queries.now), chunk):
        some = part_of(queries, slice(start, start + chunk))
        spans = spans_of(pushed(some.after))
        which = torch.zeros(len(spans), dtype=torch.int64)
        known = torch.from_numpy(summaries(history, some, spans, blocks, verdicts))
        sums = torch.cat([known, merged(codes[None], which, torch.from_numpy(spans))], 2)
        raw = np.concatenate([window(history, some, verdicts), frauds(history, some, verdicts)], 1)
        out.append(network(torch.from_numpy(some.static), torch.from_numpy(raw), sums))
    return torch.cat(out)


def part_of(queries: Queries, rows: slice) -> Queries:
    """Return some of the queries."""
    return Queries(queries.after[rows], queries.seen[rows], queries.now[rows], queries.static[rows])


def encode(encoder: BlockEncoder, static: Tensor, chunk: int = 32) -> Tensor:
    """Return the codes (n // 16, 32) of the closed blocks of events (n, 20), so many blocks at a time."""
    blocks = static[: len(static) // BLOCK * BLOCK].reshape(-1, BLOCK, STATIC)
    if not len(blocks):
        return static.new_zeros(0, CODE)
    return torch.cat([encoder(part) for part in torch.split(blocks, chunk)])


def pushed(after: I64) -> I64:
    """Return how many blocks are summaries once so many events are absorbed: all but the open and 2 closed ones."""
    blocks: I64 = np.maximum(after // BLOCK - 2, 0)
    return blocks


def spans_of(blocks: I64) -> I64:
    """Return level, first block, and block after the last of the 20 summaries of so many blocks, (q, 20, 3).

    Newest first; level -1 where there is none.
    """
    kinds, which = np.unique(blocks, return_inverse=True)
    table = np.zeros((len(kinds), SUMMARIES, 3), np.int64)
    table[:, :, 0] = -1
    for row, kind in zip(table, kinds.tolist(), strict=True):
        found = spans_after(kind)
        row[: len(found)] = np.array(found).reshape(-1, 3)
    return table[which]


@lru_cache(maxsize=4096)
def spans_after(blocks: int) -> list[tuple[int, int, int]]:
    """Return the spans of the summaries of so many blocks, newest first."""
    found = []
    for level in range(LEVELS - 1):
        size, gone = RADIX**level, max(blocks - 1, 0) // RADIX * RADIX
        found += [(level, i * size, (i + 1) * size) for i in range(blocks - 1, gone - 1, -1)]
        blocks = gone // RADIX
    top, size = LEVELS - 1, RADIX ** (LEVELS - 1)
    # the top level merges within itself: its first 4, then each time what that made and 3 more
    gone = 0 if blocks <= RADIX else RADIX + (blocks - RADIX - 1) // (RADIX - 1) * (RADIX - 1)
    found += [(top, i * size, (i + 1) * size) for i in range(blocks - 1, gone - 1, -1)]
    return found + [(top, 0, gone * size)] * (gone > 0)


def merged(codes: Tensor, which: Tensor, spans: Tensor) -> Tensor:
    """Return the codes of spans (q, 20, 3) of the block sequences `which` (q,) of codes (g, N, 32): (q, 20, 32)."""
    level, start, end = spans.unbind(2)
    half, which = CODE // 2, which[:, None]
    total = functional.pad(codes[:, :, :half].double().cumsum(1), (0, 0, 1, 0))  # (g, N + 1, 16)
    mean = (total[which, end] - total[which, start]) / (end - start).clamp(min=1)[:, :, None]
    tables = maxima(codes[:, :, half:])
    offset = torch.tensor([0, *(table.shape[1] for table in tables)], device=codes.device).cumsum(0)
    size = RADIX ** level.clamp(min=0)
    place = offset[level.clamp(min=0)] + start // size
    place = torch.where((level == LEVELS - 1) & (start == 0), offset[LEVELS] + end // size - 1, place)
    place = place.where(level >= 0, offset[-1] - 1)
    return torch.cat([mean.float(), torch.cat(tables, 1)[which, place]], 2) * (level >= 0)[:, :, None]


def maxima(codes: Tensor) -> list[Tensor]:
    """Return the maxima of codes (g, N, 16) by unit of every level, of the top level up to each unit, and a zero."""
    tables = [codes]
    for _ in range(LEVELS - 1):
        below = tables[-1]
        units = below.shape[1] // RADIX
        tables.append(below[:, : units * RADIX].reshape(len(below), units, RADIX, CODE - CODE // 2).amax(2))
    return [*tables, tables[-1].cummax(1).values, torch.zeros_like(codes[:, :1].sum(1, keepdim=True))]


class Blocks(NamedTuple):
    """What is counted of each closed block, verdicts apart."""

    first: I64  # (N,) s
    last: I64  # (N,) s
    amounts: I64  # (N + 1,) log amounts of the blocks before each


def blocks_of(history: History) -> Blocks:
    """Return the time ranges, which share no second, and the amounts of all closed blocks."""
    closed = len(history.at) // BLOCK
    at = history.at[: closed * BLOCK].reshape(-1, BLOCK)
    fixed = np.rint(np.maximum(history.static[: closed * BLOCK, 1].astype(np.float64) * 2560, 0)).astype(np.int64)
    number = np.arange(closed)
    last = np.maximum.accumulate(at.max(1) - number) + number  # one second later than the block before, or more
    first = np.maximum(at[:, 0], np.concatenate([[0], last + 1])[:closed])
    amounts = np.concatenate([[0], fixed.reshape(-1, BLOCK).sum(1).cumsum()]).astype(np.int64)
    return Blocks(first, last, amounts)


class Verdicts(NamedTuple):
    """A history's m verdicts, made ready to be looked up."""

    keys: I64  # (m,) event * (m + 1) + position, sorted
    replaced: I64  # (m,) position of the next verdict on the same event, else m
    place: I64  # (m,) block whose time range the payment falls in
    pushed_at: I64  # (m,) events absorbed when the event's own block becomes a summary
    counted: Bools  # (m,) not replaced before that
    rings: I64  # (m + 1, 16, 2) first and latest verdict of the known frauds after so many verdicts, newest first; -1


def verdicts_of(history: History, blocks: Blocks) -> Verdicts:
    """Return the look-up tables of a history's verdicts."""
    m, event = len(history.event), history.event
    keys = np.sort(event * (m + 1) + np.arange(m))
    same = np.flatnonzero(keys[1:] // (m + 1) == keys[:-1] // (m + 1))
    replaced = np.full(m, m)
    replaced[keys[same] % (m + 1)] = keys[same + 1] % (m + 1)
    place = np.maximum(np.searchsorted(blocks.first, history.at[event], side="right") - 1, 0)
    pushed_at = (event // BLOCK + 3) * BLOCK
    counted = (replaced == m) | (np.append(history.after, 0)[replaced] >= pushed_at)
    return Verdicts(keys, replaced, place, pushed_at, counted, fraud_rings(history))


def fraud_rings(history: History) -> I64:
    """Return Verdicts.rings: the 16 newest known frauds by (time, event), one that was pushed out not coming back."""
    held: list[tuple[int, int, int, int]] = []  # time, event, first verdict, latest verdict
    rings = np.full((len(history.event) + 1, FRAUDS, 2), -1)
    for i, (event, label) in enumerate(zip(history.event.tolist(), history.label.tolist(), strict=True)):
        rings[i + 1] = rings[i]
        old = [one for one in held if one[1] == event]
        if not old and label & VERDICT != FRAUD:
            continue
        rings[i + 1] = -1
        held = [one for one in held if one[1] != event]
        if label & VERDICT == FRAUD:
            held.append((int(history.at[event]), event, old[0][2] if old else i, i))
        held = sorted(held)[-FRAUDS:]
        for k, one in enumerate(reversed(held)):
            rings[i + 1, k] = one[2:]
    return rings


def latest(verdicts: Verdicts, event: I64, seen: I64) -> I64:
    """Return the position of the newest of the `seen` (q,) verdicts on events (q, k), -1 without one."""
    size = len(verdicts.keys) + 1
    keys = np.append(-1, verdicts.keys)
    found = keys[np.searchsorted(keys, event * size + seen[:, None]) - 1]
    return np.where((found >= 0) & (found // size == event), found % size, -1)


def window(history: History, queries: Queries, verdicts: Verdicts) -> F32:
    """Return the newest 32..47 events before each query, newest first, raw (q, 48, 32)."""
    event = queries.after[:, None] - 1 - np.arange(WINDOW)
    shown = event >= pushed(queries.after)[:, None] * BLOCK
    event = np.where(shown, event, 0)
    raw = np.zeros((*event.shape, RAW), np.float32)
    if not len(history.at):
        return raw
    raw[:, :, :STATIC] = history.static[event]
    write_events(raw, queries, history, history.at[event], latest(verdicts, event, queries.seen))
    raw[:, :, 30] = np.log1p(queries.after[:, None] - event) / 8
    return raw * shown[:, :, None]


def frauds(history: History, queries: Queries, verdicts: Verdicts) -> F32:
    """Return the known frauds from before each query's window, newest first, raw (q, 16, 32)."""
    raw = np.zeros((len(queries.now), FRAUDS, RAW), np.float32)
    if not len(history.event):
        return raw
    first, newest = np.moveaxis(verdicts.rings[queries.seen], 2, 0)
    event = history.event[first]
    held = event >= history.after[first] - RING  # the ring of events still had it
    shown = (first >= 0) & ~(held & (event >= pushed(queries.after)[:, None] * BLOCK))
    raw[:, :, :STATIC] = np.where(held[:, :, None], history.static[event], history.carried[first])
    write_events(raw, queries, history, history.at[event], newest)
    raw[:, :, 28] = 1
    raw[:, :, 30] = np.where(held, np.log1p(np.maximum(queries.after[:, None] - event, 0)) / 8, 0)
    order = np.argsort(~shown, axis=1, kind="stable")[:, :, None]
    return np.take_along_axis(raw * shown[:, :, None], order, 1)


def write_events(raw: F32, queries: Queries, history: History, at: I64, verdict: I64) -> None:
    """Write the columns of events (q, k, 32) that change with time; `verdict` (q, k) is -1 where none is known."""
    now = queries.now[:, None]
    age = np.maximum(now - at, 0)
    raw[:, :, 20] = np.log1p(age) / 15
    raw[:, :, 21] = np.minimum(age / MONTH, 12)
    raw[:, :, 27] = (raw[:, :, 1] - queries.static[:, None, 1]) * 10
    if len(history.event):
        label, known = history.label[verdict], verdict >= 0
        raw[:, :, 22] = known
        raw[:, :, 23] = known & (label & VERDICT == FRAUD)
        raw[:, :, 24] = known & (label >> 2 == SILENCE)
        raw[:, :, 25] = known * np.log1p(np.maximum(now - history.given[verdict], 0)) / 15


def summaries(history: History, queries: Queries, spans: I64, blocks: Blocks, verdicts: Verdicts) -> F32:
    """Return the counters of the spans (q, 20, 3) of each query, sums (q, 20, 16)."""
    level, start, end = np.moveaxis(spans, 2, 0)
    out = np.zeros((*level.shape, SUM), np.float32)
    if not len(blocks.first):
        return out
    now, size = queries.now[:, None], (end - start) * BLOCK
    since_last = np.maximum(now - blocks.last[np.maximum(end - 1, 0)], 0)
    known, bad = counts(history, queries, spans, verdicts)
    out[:, :, 0], out[:, :, 1], out[:, :, 2] = 1, level / 4, np.log1p(size) / 10
    out[:, :, 3], out[:, :, 4], out[:, :, 5] = np.log1p(known) / 10, np.log1p(bad) / 5, bad / np.maximum(known, 1)
    out[:, :, 6] = np.log1p(since_last) / 15
    out[:, :, 7] = np.log1p(np.maximum(now - blocks.first[np.minimum(start, len(blocks.first) - 1)], 0)) / 15
    out[:, :, 8] = np.minimum(since_last / MONTH, 12)
    out[:, :, 9:12] = fraud_times(history, queries, spans, verdicts) * (bad > 0)[:, :, None]
    out[:, :, 12] = (blocks.amounts[end] - blocks.amounts[start]) / np.maximum(size * 2560, 1)
    out[:, :, 14] = np.log1p(queries.after[:, None]) / 10
    out *= (level >= 0)[:, :, None]
    return out


def counts(history: History, queries: Queries, spans: I64, verdicts: Verdicts) -> tuple[I64, I64]:
    """Return the known verdicts and the known frauds of spans (q, 20, 3) as of each query, (q, 20) each."""
    order = np.argsort(verdicts.place, kind="stable")
    edges = np.searchsorted(verdicts.place[order], spans[:, :, 1:])  # (q, 20, 2)
    seen, after = queries.seen[:, None], queries.after[:, None]
    current = (order < seen) & (verdicts.replaced[order] >= seen) & (verdicts.pushed_at[order] <= after)
    current &= history.label[order] & VERDICT > 0
    both = np.stack([current, current & (history.label[order] & VERDICT == FRAUD)])
    total = np.pad(both.cumsum(2), ((0, 0), (0, 0), (1, 0)))  # (2, q, m + 1)
    row = np.arange(len(spans))[:, None]
    known, bad = total[:, row, edges[:, :, 1]] - total[:, row, edges[:, :, 0]]
    return known, bad


def fraud_times(history: History, queries: Queries, spans: I64, verdicts: Verdicts) -> F32:
    """Return columns 9, 10, 11 of spans (q, 20, 3): the frauds ever counted there by each query, (q, 20, 3)."""
    i = np.flatnonzero(verdicts.counted & (history.label & VERDICT == FRAUD))
    ever = (i < queries.seen[:, None]) & (verdicts.pushed_at[i] <= queries.after[:, None])  # (q, f)
    place = verdicts.place[i]
    inside = (spans[:, :, 1, None] <= place) & (place < spans[:, :, 2, None]) & ever[:, None]  # (q, 20, f)
    age = queries.now[:, None] - history.at[history.event[i]]
    newest = np.where(inside, age[:, None], np.iinfo(np.int64).max).min(2, initial=np.iinfo(np.int64).max)
    oldest = np.where(inside, age[:, None], -1).max(2, initial=-1)
    some = inside.any(2)
    ages = np.where(some, [newest, oldest], 0).clip(0)
    columns: F32 = np.stack([some, *(np.log1p(ages) / 15)], 2).astype(np.float32)
    return columns
