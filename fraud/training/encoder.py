"""Learn the block encoder first, by a narrow loss: what of an entity's far past tells frauds among suspicious rows.

Inside the whole network the encoder learns next to nothing: the gradient of a code that lies hundreds of events back
competes with all that is nearer, and codes that are refreshed once an epoch disagree with the encoder that moves on.
Alone, with a small probe on codes merged over an entity's whole past, it learns in a minute; afterwards it stands
still, so that every row of the network's own fit reads codes as serving will.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as nnf

from fraud.core.tokens import CODE
from models.tgn.attention import BlockEncoder

BLOCKS = 2_048
"""Blocks of a step, whatever the lengths of the histories."""
STEPS = 150
RATE = 2e-3
HIDDEN = 48
LEAST = 20
"""Fewer frauds than this, among rows with blocks, teach nothing."""

I64 = NDArray[np.int64]


class BlockSpans(NamedTuple):
    """Rows with closed blocks on one side: which ones, (N, 2) as in `Batch.pushed`, and whether each was a fraud."""

    pushed: I64
    fraud: NDArray[np.bool_]


def with_blocks(pushed: I64, fraud: NDArray[np.bool_]) -> BlockSpans:
    """Return the rows that have blocks beyond the window on a side, given `pushed` (N, 2) of all rows."""
    has = pushed[:, 1] > 0
    return BlockSpans(pushed[has], fraud[has])


class Probe(nn.Module):
    """Log-odds of fraud from one merged code."""

    def __init__(self) -> None:
        """Make a network of one hidden layer."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(CODE, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 1))

    def forward(self, codes: Tensor) -> Tensor:
        """Return (N,) of codes (N, CODE)."""
        out: Tensor = self.layers(codes)
        return out.squeeze(1)


def pooled(codes: Tensor, many: I64) -> Tensor:
    """Return mean (first half) and maximum of the codes of each row's blocks, (N, CODE), given one after another."""
    parts = torch.split(codes, many.tolist())
    half = CODE // 2
    return torch.stack([torch.cat([part[:, :half].mean(dim=0), part[:, half:].amax(dim=0)]) for part in parts])


def learn(
    encoder: BlockEncoder, blocks: NDArray[np.float32], sides: list[BlockSpans], seed: int, steps: int = STEPS
) -> list[float]:
    """Fit an encoder on the rows with blocks of every side; return the loss of each step.

    An entity counts once a step, with one of its rows drawn at random, however many rows it has.
    """
    device = next(encoder.parameters()).device
    rng = np.random.default_rng([seed, 1])
    held = [(place, side) for place, side in enumerate(sides) if side.fraud.sum() >= LEAST and not side.fraud.all()]
    probes = nn.ModuleList(Probe() for _ in sides).to(device)
    parameters = [*encoder.parameters(), *probes.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=1e-2)
    losses: list[float] = []
    for step in range(steps if held else 0):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps) + 1e-4
        total = torch.zeros((), device=device)
        for place, side in held:
            rows = chosen(side, rng, BLOCKS // len(held))
            spans = side.pushed[rows]
            places = np.concatenate([np.arange(first, first + many) for first, many in spans.tolist()])
            codes = encoder(torch.from_numpy(blocks[places]).to(device))
            target = torch.from_numpy(side.fraud[rows].astype(np.float32)).to(device)
            total = total + nnf.binary_cross_entropy_with_logits(probes[place](pooled(codes, spans[:, 1])), target)
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(float(total.detach()) / len(held))
    return losses


def chosen(side: BlockSpans, rng: np.random.Generator, most: int) -> I64:
    """Return rows of different entities, drawn evenly, that have at most so many blocks together."""
    order = rng.permutation(len(side.fraud))
    _, first = np.unique(side.pushed[order, 0], return_index=True)
    rows = order[rng.permutation(first)]
    fits = np.cumsum(side.pushed[rows, 1]) <= most
    fits[0] = True
    picked: I64 = rows[fits]
    return picked
