"""The handbook's payments as a TGN reads them: edges of a card and a terminal, in order of time, with messages."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fraud.core.records import DAY, MINUTE, SECOND
from fraud.training.dataset import FRAUD, Dataset, Identity, Meta

DELAY = 7 * DAY
MONTH = 30 * DAY

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]


class Edges(NamedTuple):
    """The stream as tensors: source, destination, minutes (int64) and message (float32) of every payment."""

    src: Tensor
    dst: Tensor
    t: Tensor
    msg: Tensor

    def at(self, rows: slice | Tensor) -> "Edges":
        """Return some of them."""
        return Edges(*(column[rows] for column in self))


def payments(path: Path) -> Dataset:
    """Return the stream without vectors: what the protocol's folds and measures need."""
    import pandas as pd

    frame = pd.read_parquet(path).sort_values("time", kind="stable")
    times = frame.time.to_numpy("datetime64[ns]").astype(np.int64)
    card, merchant = (pd.factorize(frame[name])[0].astype(np.int32) for name in ("customer", "terminal"))
    meta = Meta(Identity("", "", DELAY), (), len(frame))
    amount, fraud, scenario = (frame[name].to_numpy() for name in ("amount_cents", "fraud", "scenario"))
    matrix = np.empty((len(frame), 0), dtype=np.float32)
    columns = (amount.astype(np.int64), fraud.astype(np.int8), scenario.astype(np.int8))
    return Dataset(meta, matrix, times, card, merchant, *columns)


def plain(data: Dataset) -> F32:
    """Return log amount and time phases of every payment, float32 (rows, 5)."""
    seconds = data.time / 1e9
    day, week = 2 * np.pi * seconds / 86_400, 2 * np.pi * seconds / 604_800
    amount = np.log1p(data.amount) - np.log1p(data.amount).mean()
    return np.stack([amount, np.sin(day), np.cos(day), np.sin(week), np.cos(week)], 1).astype(np.float32)


def verdicts(data: Dataset, entity: NDArray[np.int32]) -> F32:
    """Return what is known of an entity's verdicts when it pays, `DELAY` late, float32 (rows, 5).

    Log counts of verdicts and of frauds, share of frauds of a month, newest verdict (1, -1, 0 for none), and how
    recently the newest known fraud was paid (1 now, falling to 0 over some weeks).
    """
    order = np.lexsort((data.time, entity))
    stamp = _key(entity, (data.time - data.time[0]) // SECOND)
    ranked, fraud = stamp[order], (data.fraud == FRAUD)[order]
    start = np.searchsorted(ranked, _key(entity, np.zeros_like(data.time)))
    seen = _seen(ranked, stamp, start, DELAY // SECOND)
    month = _seen(ranked, stamp, start, (DELAY + MONTH) // SECOND)
    frauds = np.concatenate([[0], np.cumsum(fraud)])
    newest = np.concatenate([[-1], np.maximum.accumulate(np.where(fraud, np.arange(len(fraud)), -1))])[seen]
    age = np.where(newest >= start, (stamp - ranked[newest]) * SECOND / DAY, np.inf)
    share = (frauds[seen] - frauds[month]) / np.maximum(seen - month, 1)
    last = np.where(seen > start, 2.0 * fraud[seen - 1] - 1, 0.0)
    counts = np.log1p(seen - start) / 5, np.log1p(frauds[seen] - frauds[start])
    return np.stack([*counts, share, last, np.exp(-age / 14)], 1).astype(np.float32)


def _key(entity: NDArray[np.int32], since: I64) -> I64:
    """Return one number that sorts by entity, then by seconds since the start."""
    return entity.astype(np.int64) * (400 * DAY // SECOND) + since


def _seen(ranked: I64, stamp: I64, start: I64, ago: int) -> I64:
    """Return, per payment, the place behind its entity's last payment at least `ago` seconds before."""
    return np.maximum(np.searchsorted(ranked, stamp - ago, "right"), start)


def edges(data: Dataset, *, labels: bool) -> Edges:
    """Return the stream with its messages; cards are the first nodes, terminals follow."""
    parts = [plain(data)]
    if labels:
        parts += [verdicts(data, data.card), verdicts(data, data.merchant)]
    cards = int(data.card.max()) + 1
    src, dst = torch.from_numpy(data.card.astype(np.int64)), torch.from_numpy(data.merchant.astype(np.int64) + cards)
    minutes = torch.from_numpy((data.time - data.time[0]) // MINUTE)
    return Edges(src, dst, minutes, torch.from_numpy(np.concatenate(parts, 1)))
