"""The temporal graph neural network: one event, the memories of its card, merchant and device, a fraud log-odds.

Top to bottom: what it reads (`NetworkConfig`), the query, tokens, a side's memory, modalities, heads. Shapes are in
comments: B events, Q query features, K bins, T tokens, S sides, D width, H heads.

A neighbourhood is what an entity's history row tells of the past: raw events with what is known of their labels now,
summaries of older blocks, newest known frauds. Each token carries its counterparty's state at that time, so one
attention step over a card's tokens reaches two hops (card - event - merchant as it stood then).

The path is one query and one attention step a side, with keys and values absorbed into the query: (q Wk) z instead of
q (Wk z), which saves projecting every token (cost table in DECISIONS.md). What else is linear or constant is absorbed
into weights too (`Absorbed`): the runtime computes them once, when it loads the graph.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from fraud.core import tokens as tk
from models.tgn.attention import MARKS, NEVER, BlockEncoder, MemoryAttention, looked_up

RAMPS = 12
FIRST_RAMP, LAST_RAMP = math.log1p(60) / tk.AGE_SCALE, math.log1p(180 * 86_400) / tk.AGE_SCALE
COUNTED = 16
LABEL_COLUMNS = (tk.KNOWN, tk.FRAUD, tk.SILENT, tk.LABEL_AGE, tk.OTHER_LABELS, tk.OTHER_FRAUDS, tk.FROM_FRAUDS)
LABEL_SUM_COLUMNS = (
    tk.SUM_KNOWN, tk.SUM_FRAUDS, tk.SUM_SHARE, tk.SUM_HAS_FRAUD, tk.SUM_LAST_FRAUD, tk.SUM_FIRST_FRAUD,
)  # fmt: skip
"""Columns of events and of summaries that hold what is known of labels."""
MISSING = -1e30
"""What stands for a missing feature on its steps: below all of them."""


class NetworkShape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of the network's shape is a choice, whatever the data.

    The switches turn parts off for ablations: summaries, known frauds, label state, sides; `newest` caps the window's
    tokens.
    """

    bins: int = 16
    width: int = 48
    heads: int = 4
    newest: int = tk.WINDOW
    align: bool = False
    summaries: bool = True
    frauds: bool = True
    labels: bool = True
    card: bool = True
    merchant: bool = True
    dropout: float = 0.1


class NetworkConfig(NetworkShape, frozen=True):
    """Everything that fixes the network's shape; it is stored in the artifact's card.

    `columns` are the features that the query reads; `sides` is 2 (card, merchant) or 3 (device too).
    """

    columns: tuple[str, ...]
    sides: int = 2
    text: bool = False


class Memory(NamedTuple):
    """What is read of S sides, as `fraud/core/tokens.py` has it: raw (B, S, RAW, RAW_COLUMNS), sums, codes."""

    raw: Tensor
    sums: Tensor
    codes: Tensor


class Query(nn.Module):
    """Piecewise-linear encoding of the event's features (Gorishniy et al. 2022), then a small network."""

    lower: Tensor
    scale: Tensor

    def __init__(self, features: int, bins: int, width: int, dropout: float) -> None:
        """Make room for bin edges; `set_bins` fills them from training rows."""
        super().__init__()
        self.register_buffer("lower", torch.zeros(features, bins))
        self.register_buffer("scale", torch.ones(features, bins))
        self.first = nn.Linear(features * (bins + 1), width)
        self.second = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def set_bins(self, edges: Tensor) -> None:
        """Take the edges of each feature, (Q, K + 1), ascending; equal ones make a step."""
        self.lower.copy_(edges[:, :-1])
        self.scale.copy_(1 / (edges[:, 1:] - edges[:, :-1]).clamp_min(1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, D) of features (B, Q); NaN means missing: no step is climbed but one more, which is its own."""
        held = torch.where(torch.isnan(x), MISSING, x).unsqueeze(-1)
        steps = ((held - self.floors()) * self.slopes()).clamp(0, 1)  # (B, Q, K + 1)
        hidden = nnf.gelu(nnf.linear(steps.flatten(1), self.weight(), self.first.bias))
        out: Tensor = hidden + self.second(self.dropout(hidden))
        return out

    def floors(self) -> Tensor:
        """Return where each feature's steps begin, (Q, K + 1); the last is climbed downwards, by what is missing."""
        return torch.cat([self.lower, self.lower.new_full((len(self.lower), 1), MISSING / 2)], dim=1)

    def slopes(self) -> Tensor:
        """Return how steep the steps are, (Q, K + 1)."""
        return torch.cat([self.scale, self.scale.new_full((len(self.scale), 1), -1.0)], dim=1)

    def weight(self) -> Tensor:
        """Return the weights of the first layer by feature and step, (D, Q (K + 1)): what is missing goes last."""
        many = self.lower.numel()
        steps = self.first.weight[:, :many].view(-1, *self.lower.shape)
        return torch.cat([steps, self.first.weight[:, many:].unsqueeze(-1)], dim=-1).flatten(1)


def ramps(age: Tensor) -> Tensor:
    """Return what tokens know of their ages (B, S, T, 1), (B, S, T, 13): log1p(s) / AGE_SCALE in, 0..1 out.

    How far each of 12 ramps is climbed, one after the other from a minute to half a year, and a column of ones.
    """
    step = (LAST_RAMP - FIRST_RAMP) / RAMPS
    slope = age.new_tensor([[1 / step]] * RAMPS + [[0.0]])
    rise = age.new_tensor([-FIRST_RAMP / step - place for place in range(RAMPS)] + [1.0])
    sides, tokens = (int(size) for size in age.shape[1:3])  # so that the graph has them as numbers
    return nnf.linear(age.reshape(-1, 1), slope, rise).clamp(0, 1).view(-1, sides, tokens, RAMPS + 1)


class Absorbed(NamedTuple):
    """The weights of S sides as they are used: biases, marks and projections absorbed, C being what is counted."""

    event: Tensor  # (S, RAW_COLUMNS + 13, D + 3)
    summary: Tensor  # (S, SUM_COLUMNS + CODE + 13, D + 3)
    counted: Tensor  # (S, D + 3, C)
    ask: Tensor  # (S, H (D + 3), D)
    ask_bias: Tensor  # (S, H (D + 3))
    tell: Tensor  # (S, H (D + 3), D)
    counts: Tensor  # (S, C, D)
    bias: Tensor  # (S, 1, D)


class Side(nn.Module):
    """One entity's memory as the event sees it: attention over its tokens, and counts of what they hold."""

    def __init__(self, config: NetworkConfig) -> None:
        """Make the tokens' networks, the absorbed attention and the counters."""
        super().__init__()
        width = config.width
        self.event = nn.Linear(tk.RAW_COLUMNS + RAMPS, width)
        self.summary = nn.Linear(tk.SUM_COLUMNS + tk.CODE + RAMPS, width)
        self.attend = MemoryAttention(width, config.heads)
        self.counted = nn.Linear(width, COUNTED)
        self.counts = nn.Linear(COUNTED, width)

    def absorbed(self) -> Absorbed:
        """Return the weights as they are used, without the axis of sides."""
        ask, ask_bias = self.attend.asking()
        return Absorbed(
            token_weights(self.event, tk.AGE),
            token_weights(self.summary, tk.SUM_AGE),
            torch.cat([self.counted.weight.T, marks_of(self.counted.bias)]),
            ask,
            ask_bias,
            self.attend.telling(),
            self.counts.weight.T,
            (self.attend.mix.bias + self.counts.bias).unsqueeze(0),
        )


def token_weights(linear: nn.Linear, age: int) -> Tensor:
    """Return the map (columns + 1, D + 3) from a token's columns and a 1 to the marked token; `age` is a column."""
    weight, bias = linear.weight.T, linear.bias.unsqueeze(0)
    rows = [[0.0, -1.0, 1.0], *([0.0] * MARKS for _ in range(linear.in_features))]
    rows[age][0] = rows[-1][1] = 1.0
    return torch.cat([torch.cat([weight, bias]), weight.new_tensor(rows)], dim=1)


def marks_of(bias: Tensor) -> Tensor:
    """Return what a layer with a relu after it takes of a token's marks, (3, C): an absent one counts nothing."""
    return torch.stack([bias.new_zeros(COUNTED), bias.new_full((COUNTED,), NEVER), bias])


def each_by_its(x: Tensor, weight: Tensor) -> Tensor:
    """Return x (B, S, T, I) times weight (S, I, J), (B, S, T, J).

    The runtime takes the product as it stands; torch would first copy the weights for every row.
    """
    if torch.onnx.is_in_onnx_export():
        return x @ weight
    return torch.stack([x[:, side] @ weight[side] for side in range(len(weight))], dim=1)


def read_sides(sides: Sequence[Side], query: Tensor, raw: Tensor, sums: Tensor, codes: Tensor) -> Tensor:
    """Return the memories (B, S D) of sides: raw (B, S, T1, RAW_COLUMNS), sums (B, S, T2, ...), codes alike.

    All sides at once, each with its own weights: on one event an operation costs more than its arithmetic. Ages pass
    the relu among the tokens' marks, for none is below 0.
    """
    by = Absorbed(*(torch.stack(parts) for parts in zip(*(side.absorbed() for side in sides), strict=True)))
    many, heads, columns = len(sides), sides[0].attend.heads, by.event.shape[-1]
    age = torch.cat([raw[..., tk.AGE : tk.AGE + 1], sums[..., tk.SUM_AGE : tk.SUM_AGE + 1]], dim=2)
    climbed, first = ramps(age), int(raw.shape[2])
    events = each_by_its(torch.cat([raw, climbed[:, :, :first]], dim=-1), by.event)
    summaries = each_by_its(torch.cat([sums, codes, climbed[:, :, first:]], dim=-1), by.summary)
    tokens = torch.relu(torch.cat([events, summaries], dim=2))  # (B, S, T, D + 3)
    held = torch.log1p(torch.relu(each_by_its(tokens, by.counted)).sum(dim=2, keepdim=True))  # (B, S, 1, C)
    asked = nnf.linear(query, by.ask.flatten(0, 1), by.ask_bias.flatten()).view(-1, many, heads, columns)
    found = looked_up(asked, tokens).reshape(-1, many, 1, heads * columns)
    out = each_by_its(found, by.tell) + each_by_its(held, by.counts) + by.bias
    return out.flatten(1)


class Text(nn.Module):
    """The merchant's descriptor: a bag of hashed character 3-5-grams."""

    def __init__(self, width: int) -> None:
        """Make the table of buckets; bucket 0 is padding."""
        super().__init__()
        self.table = nn.Embedding(tk.GRAM_BUCKETS, width)
        self.mix = nn.Linear(width, width)

    def forward(self, text: Tensor) -> Tensor:
        """Return (B, D) of bucket ids (B, GRAMS)."""
        held = (text > 0).to(self.table.weight.dtype).unsqueeze(-1)
        bag = (self.table(text) * held).sum(dim=1) / held.sum(dim=1).clamp_min(1)
        out: Tensor = self.mix(nnf.gelu(bag))
        return out


class CrossModal(nn.Module):
    """Modality latents that attend to each other: numbers, card, merchant, text or device."""

    def __init__(self, width: int, heads: int) -> None:
        """Make one self-attention step over the latents."""
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, latents: Tensor) -> Tensor:
        """Return latents (B, M, D) that have read each other."""
        read, _ = self.attention(latents, latents, latents, need_weights=False)
        out: Tensor = self.norm(latents + read)
        return out


class Head(nn.Module):
    """Latents to a log-odds."""

    def __init__(self, latents: int, width: int, dropout: float) -> None:
        """Start at a small prior: most payments are genuine."""
        super().__init__()
        self.first = nn.Linear(latents * width, width)
        self.last = nn.Linear(width, 1)
        self.dropout = nn.Dropout(dropout)
        nn.init.constant_(self.last.bias, -5.0)

    def forward(self, latents: Tensor) -> Tensor:
        """Return (B,) of latents (B, M, D)."""
        out: Tensor = self.last(self.dropout(nnf.gelu(self.first(latents.flatten(1))))).view(-1)
        return out


class TemporalGraphNetwork(nn.Module):
    """The whole network: `near` is exit 1 (card and merchant), `far` exit 2 (device too)."""

    def __init__(self, config: NetworkConfig) -> None:
        """Build what the config asks for; a part that is switched off has no weights."""
        super().__init__()
        self.config = config
        width = config.width
        self.query = Query(len(config.columns), config.bins, width, config.dropout)
        self.encoder = BlockEncoder(d=32, heads=2)
        self.sides = nn.ModuleList(Side(config) for _ in range(config.sides))
        self.text = Text(width) if config.text else None
        near = 3 + config.text
        self.align_near = CrossModal(width, config.heads) if config.align else None
        self.exit_near = Head(near, width, config.dropout)
        self.exit_far = Head(near + 1, width, config.dropout) if config.sides > 2 else None

    def near(self, x: Tensor, raw: Tensor, sums: Tensor, codes: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return exit 1's log-odds (B,) and its latents (B, M, D): event, card, merchant and text."""
        query = self.query(x)
        latents = [query, self._read(slice(0, 2), query, raw, sums, codes)]
        if self.text is not None:
            latents.append(self.text(text))
        stacked = torch.cat(latents, dim=1).view(-1, 3 + self.config.text, self.config.width)
        if self.align_near is not None:
            stacked = self.align_near(stacked)
        return self.exit_near(stacked), stacked

    def far(self, latents: Tensor, raw: Tensor, sums: Tensor, codes: Tensor) -> Tensor:
        """Return exit 2's log-odds (B,) of exit 1's latents and the device's memory: raw (B, RAW, RAW_COLUMNS), ..."""
        if self.exit_far is None:
            message = "this network has no device side"
            raise ValueError(message)
        memory = (part.unsqueeze(1) for part in (raw, sums, codes))
        device = self._read(slice(2, 3), latents[:, 0], *memory)
        logit: Tensor = self.exit_far(torch.cat([latents, device.unsqueeze(1)], dim=1))
        return logit

    def forward(self, x: Tensor, memory: Memory, text: Tensor) -> Tensor:
        """Return the log-odds of every exit, (B, exits)."""
        first, latents = self.near(x, memory.raw[:, :2], memory.sums[:, :2], memory.codes[:, :2], text)
        if self.exit_far is None:
            return first.unsqueeze(1)
        second = self.far(latents, memory.raw[:, 2], memory.sums[:, 2], memory.codes[:, 2])
        return torch.stack([first, second], dim=1)

    def encode(self, blocks: Tensor) -> Tensor:
        """Return codes (N, CODE) of blocks (N, BLOCK, STATIC)."""
        codes: Tensor = self.encoder(blocks)
        return codes

    def _read(self, which: slice, query: Tensor, raw: Tensor, sums: Tensor, codes: Tensor) -> Tensor:
        """Return the memories of some sides, (B, S D): raw (B, S, RAW, ...), ...; zeros where one is switched off."""
        used = [self.config.card, self.config.merchant, True][which]
        sides = cast("list[Side]", list(self.sides[which]))
        read = read_sides(sides, query, *self._shown(raw, sums, codes))
        if all(used):
            return read
        keep = torch.tensor(used, dtype=read.dtype, device=read.device)
        return read * keep.repeat_interleave(self.config.width)

    def _shown(self, raw: Tensor, sums: Tensor, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the config lets a side see: newest window tokens, known frauds, summaries, label state."""
        config, shown = self.config, raw
        if config.newest < tk.WINDOW or not config.frauds:
            known = tk.WINDOW if config.frauds else raw.shape[2]
            shown = torch.cat([raw[:, :, : config.newest], raw[:, :, known:]], dim=2)
        if not config.labels:
            shown = shown * label_free(LABEL_COLUMNS, shown)
            sums = sums * label_free(LABEL_SUM_COLUMNS, sums)
        if not config.summaries:
            sums, codes = sums[:, :, :0], codes[:, :, :0]
        return shown, sums, codes


def label_free(labels: tuple[int, ...], like: Tensor) -> Tensor:
    """Return a row of ones as wide as `like`, with zeros where label state stands."""
    keep = torch.ones(like.shape[-1], dtype=like.dtype, device=like.device)
    keep[list(labels)] = 0
    return keep


def fold_closed(memory: Memory, encode: nn.Module, fold: Tensor) -> Memory:
    """Give, for the sides and events in `fold` (B, S), the window's two closed blocks as summaries with fresh codes.

    Training only: it teaches the encoder, through codes with a gradient, what a summary must tell, at a distance where
    the raw events are at hand. Integer columns are computed from the raw tokens by the same formulas.
    """
    raw, sums, codes = memory
    blocks, closed = closed_blocks(raw)  # (B, S, 2, BLOCK, RAW_COLUMNS), (B, S, 2)
    chosen = fold.unsqueeze(-1) & closed
    flat = blocks[chosen][..., : tk.STATIC].flip(1)  # (N, BLOCK, STATIC), oldest first
    fresh = torch.zeros(*chosen.shape, tk.CODE, dtype=raw.dtype, device=raw.device)
    fresh[chosen] = encode(flat)
    use = chosen.to(raw.dtype).unsqueeze(-1)
    made = summaries_of(blocks)
    opened = raw[:, :, : tk.WINDOW, tk.PRESENT].sum(dim=-1, keepdim=True) - tk.BLOCK * closed.sum(dim=-1, keepdim=True)
    slot = torch.arange(raw.shape[2], device=raw.device)
    inside = (slot >= opened) & (slot < tk.WINDOW)
    keep = ~(inside & fold.unsqueeze(-1))
    return Memory(raw * keep.unsqueeze(-1), torch.cat([made * use, sums], dim=2), torch.cat([fresh, codes], dim=2))


def closed_blocks(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Return the window's two closed blocks (B, S, 2, BLOCK, RAW_COLUMNS), newest first, and which are there."""
    held = raw[:, :, : tk.WINDOW, tk.PRESENT].sum(dim=-1).long()  # events in the window
    closed = (held // tk.BLOCK).clamp(max=tk.CLOSED_IN_WINDOW)
    opened = held - tk.BLOCK * closed
    place = opened[..., None] + torch.arange(tk.CLOSED_IN_WINDOW * tk.BLOCK, device=raw.device)  # (B, S, 32)
    index = place.clamp(max=tk.WINDOW - 1)[..., None].expand(*place.shape, raw.shape[-1])
    blocks = torch.gather(raw, 2, index).reshape(*raw.shape[:2], tk.CLOSED_IN_WINDOW, tk.BLOCK, raw.shape[-1])
    return blocks, torch.arange(tk.CLOSED_IN_WINDOW, device=raw.device) < closed.unsqueeze(-1)


def summaries_of(blocks: Tensor) -> Tensor:
    """Return the summary columns (..., SUM_COLUMNS) of blocks of raw tokens (..., BLOCK, RAW_COLUMNS), newest first."""
    known, fraud, age = blocks[..., tk.KNOWN].sum(-1), blocks[..., tk.FRAUD].sum(-1), blocks[..., tk.AGE]
    frauds = blocks[..., tk.FRAUD] > 0
    has = frauds.any(-1)
    newest = torch.where(frauds, age, torch.full_like(age, 9.0)).amin(-1)
    columns = {
        tk.SUM_PRESENT: torch.ones_like(known),
        tk.SUM_COUNT: torch.full_like(known, math.log1p(tk.BLOCK) / tk.COUNT_SCALE),
        tk.SUM_KNOWN: torch.log1p(known) / tk.COUNT_SCALE,
        tk.SUM_FRAUDS: torch.log1p(fraud) / tk.FRAUDS_SCALE,
        tk.SUM_SHARE: fraud / known.clamp_min(1),
        tk.SUM_AGE: age.amin(-1),
        tk.SUM_FIRST: age.amax(-1),
        tk.SUM_MONTHS: blocks[..., tk.MONTHS].amin(-1),
        tk.SUM_HAS_FRAUD: has.to(age.dtype),
        tk.SUM_LAST_FRAUD: torch.where(has, newest, torch.zeros_like(known)),
        tk.SUM_FIRST_FRAUD: torch.where(frauds, age, torch.zeros_like(age)).amax(-1),
        tk.SUM_AMOUNT: blocks[..., tk.LOG_AMOUNT].mean(-1),
    }
    none = torch.zeros_like(known)
    return torch.stack([columns.get(place, none) for place in range(tk.SUM_COLUMNS)], dim=-1)
