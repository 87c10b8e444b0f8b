"""PyTorch Geometric's TGN example on the Fraud Detection Handbook stream: what it ranks, and what an event costs.

    python -m tests.bench.peers.tgn --data fdh.parquet [--folds 115,122] [--inputs plain,labels] [--time-only]

The parts and their sizes are those of the library's `examples/tgn.py` (TGNMemory, IdentityMessage, LastAggregator,
LastNeighborLoader with 10 neighbours, TransformerConv with 2 heads, all 100 wide); its link predictor becomes a
classifier of the event, which also reads the event's own message. Message: log amount and the phases of the hour and
the weekday; with `labels` also what is known, 7 days late, of the card's and the terminal's verdicts.

Same folds as `fraud evaluate --protocol fdh`: fitted on days 30 to s + 6, whose labels are known by day s + 14, and
tested on that week, cards known as defrauded left out. Every payment updates the memory, from the first day on; the
loss reads all frauds and a share of the genuine payments, its prior corrected exactly, for the cost of an embedding is
in its neighbours. Batches of 1,000 in training and 200 in the test, as in the example: payments of one batch do not see
each other. Learning rate 1e-3 instead of 1e-4, and few epochs instead of 50, because a pass over a million edges
takes minutes; `--falling` lets the rate fall to zero (tried: no better). Times are minutes, so that the cosines of the
time encoding begin in a useful range. Beside it: LightGBM on each payment's own message, nothing else, which says what
the graph adds.
Progress on standard error, then two tables and one JSON line. The time of an event includes the update of the memory;
it is processor time of one thread, so that a busy machine does not enter, with the wall clock's beside it.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import TGNMemory, TransformerConv  # type: ignore[import-untyped]
from torch_geometric.nn.models.tgn import (  # type: ignore[import-untyped]
    IdentityMessage,
    LastAggregator,
    LastNeighborLoader,
)

from fraud.training import protocols
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.protocols import Fold
from models.boosting.trees import F64
from tests.bench.peers import common
from tests.bench.peers.common import Row, say
from tests.bench.peers.messages import Edges, edges, payments

WIDTH, NEIGHBOURS, HEADS = 100, 10, 2
TRAIN_BATCH, TEST_BATCH = 1_000, 200
KEPT = 0.04
"""Share of the genuine payments that the loss reads."""
TIMED = {1: 1_000, 32: 300}
"""Batches timed, by their size."""
LIVED_IN = 200_000
"""Payments absorbed before timing alone: some 40 a card and 20 a terminal, so every list of neighbours is full."""


class Embedding(nn.Module):
    """Attention over an endpoint's last neighbours, as in the example."""

    def __init__(self, message: int, clock: nn.Module) -> None:
        """Take the width of a message and the time encoding, which is the memory's."""
        super().__init__()
        self.clock = clock
        self.conv = TransformerConv(WIDTH, WIDTH // HEADS, heads=HEADS, dropout=0.1, edge_dim=message + WIDTH)

    def forward(self, x: Tensor, updated: Tensor, index: Tensor, t: Tensor, msg: Tensor) -> Tensor:
        """Return embeddings (nodes, 100)."""
        gone = self.clock((updated[index[0]] - t).to(x.dtype))
        out: Tensor = self.conv(x, index, torch.cat([gone, msg], 1))
        return out


class Classifier(nn.Module):
    """Is this payment fraud: the example's predictor over both endpoints, with the payment's own message."""

    def __init__(self, message: int) -> None:
        """Take the width of a message."""
        super().__init__()
        self.src, self.dst = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.msg, self.final = nn.Linear(message, WIDTH), nn.Linear(WIDTH, 1)
        nn.init.constant_(self.final.bias, -5.0)

    def forward(self, src: Tensor, dst: Tensor, msg: Tensor) -> Tensor:
        """Return logits (payments,)."""
        hidden = (self.src(src) + self.dst(dst) + self.msg(msg)).relu()
        out: Tensor = self.final(hidden)[:, 0]
        return out


class Tgn(nn.Module):
    """The example's parts, and the two verbs: score some payments, absorb a batch of them."""

    def __init__(self, stream: Edges) -> None:
        """Build the parts for all nodes of a stream."""
        super().__init__()
        nodes, message = int(stream.dst.max()) + 1, stream.msg.shape[1]
        self.stream = stream
        talk = IdentityMessage(message, WIDTH, WIDTH)
        self.memory = TGNMemory(nodes, message, WIDTH, WIDTH, message_module=talk, aggregator_module=LastAggregator())
        self.embedding = Embedding(message, self.memory.time_enc)
        self.classifier = Classifier(message)
        self.neighbours = LastNeighborLoader(nodes, NEIGHBOURS)
        self.place = torch.empty(nodes, dtype=torch.int64)

    def reset(self) -> None:
        """Forget every payment."""
        self.memory.reset_state()
        self.neighbours.reset_state()

    def score(self, batch: Edges) -> Tensor:
        """Return logits (payments,) from what was absorbed so far."""
        nodes, index, edge = self.neighbours(torch.unique(torch.cat([batch.src, batch.dst])))
        self.place[nodes] = torch.arange(len(nodes))
        z, updated = self.memory(nodes)
        z = self.embedding(z, updated, index, self.stream.t[edge], self.stream.msg[edge])
        out: Tensor = self.classifier(z[self.place[batch.src]], z[self.place[batch.dst]], batch.msg)
        return out

    def absorb(self, batch: Edges) -> None:
        """Update the memory and the neighbours; batches come in the order of the stream."""
        with torch.no_grad():
            self.memory.update_state(batch.src, batch.dst, batch.t, batch.msg)
        self.neighbours.insert(batch.src, batch.dst)


def chosen(data: Dataset, fold: Fold, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return which payments the loss reads, bool (rows,), and their fraud, float32 (rows,)."""
    fraud = data.fraud == FRAUD
    learned = (data.time >= fold.span.start) & (data.time < fold.span.end)
    picked = learned & (fraud | (rng.random(len(fraud)) < KEPT))
    return torch.from_numpy(picked), torch.from_numpy(fraud.astype(np.float32))


def train(model: Tgn, data: Dataset, fold: Fold, given: argparse.Namespace, name: str) -> list[Row]:
    """Pass over the days before the labels' horizon, `epochs` times from an empty memory.

    Returns the measures on the test week after each pass: the last one counts, the others show the way there.
    """
    rng = np.random.default_rng(given.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=given.rate)
    end = int(np.searchsorted(data.time, fold.span.end))
    steps = given.epochs * -(-end // TRAIN_BATCH)
    rates = iter(np.linspace(given.rate, 0.0 if given.falling else given.rate, steps, endpoint=False).tolist())
    results = []
    for epoch in range(1, given.epochs + 1):
        _pass(model, optimizer, rates, chosen(data, fold, rng), end, name)
        results.append({"epoch": epoch, **common.scored(data, fold, test(model, data, fold))})
        row = results[-1]
        say(f"{name}, epoch {epoch}: AP {row['ap']:.4f}, recall at 1 % {row['recall_at_1pct']:.4f}, {spent()}")
    return results


def _pass(
    model: Tgn, optimizer: torch.optim.Optimizer, rates: Iterator[float], chosen: tuple[Tensor, Tensor], end: int,
    name: str,
) -> None:  # fmt: skip
    """Pass over the first `end` payments, each batch at the next of `rates`."""
    model.train()
    model.reset()
    picked, fraud = chosen
    losses = []
    for start in range(0, end, TRAIN_BATCH):
        rows = torch.arange(start, min(start + TRAIN_BATCH, end))
        optimizer.param_groups[0]["lr"] = next(rates)
        losses.append(_step(model, optimizer, rows[picked[rows]], fraud))
        model.absorb(model.stream.at(slice(start, int(rows[-1]) + 1)))
        if start // TRAIN_BATCH % 100 == 99:
            recent = [loss for loss in losses[-100:] if loss is not None]
            loss = f"loss {np.mean(recent):.4f}, " if recent else ""
            say(f"{name}: {start + TRAIN_BATCH:,} of {end:,}, {loss}{spent()}")


def _step(model: Tgn, optimizer: torch.optim.Optimizer, rows: Tensor, fraud: Tensor) -> float | None:
    """Learn from some payments; return their loss, None without any."""
    if not len(rows):
        return None
    optimizer.zero_grad()
    # Genuine payments were kept with the chance KEPT: their odds are that much too low, and this puts them right.
    logit = model.score(model.stream.at(rows)) - np.log(KEPT)
    loss = functional.binary_cross_entropy_with_logits(logit, fraud[rows])
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    model.memory.detach()
    return float(loss.detach())


@torch.no_grad()
def test(model: Tgn, data: Dataset, fold: Fold) -> F64:
    """Absorb the week whose labels are not known, then score the test week batch by batch; return its scores."""
    model.eval()
    begin, first = (int(np.searchsorted(data.time, at)) for at in (fold.span.end, data.time[fold.test[0]]))
    for start in range(begin, first, TRAIN_BATCH):
        model.absorb(model.stream.at(slice(start, min(start + TRAIN_BATCH, first))))
    last, wanted = int(fold.test[-1]) + 1, torch.zeros(len(data.time), dtype=torch.bool)
    wanted[torch.from_numpy(fold.test)] = True
    scores = torch.zeros(len(data.time))
    for start in range(first, last, TEST_BATCH):
        rows = torch.arange(start, min(start + TEST_BATCH, last))
        asked = rows[wanted[rows]]
        if len(asked):
            scores[asked] = model.score(model.stream.at(asked))
        model.absorb(model.stream.at(rows))
    return scores.numpy()[fold.test].astype(np.float64)


@torch.no_grad()
def cost(model: Tgn, start: int) -> list[Row]:
    """Time scoring and absorbing, batch by batch, from payment `start` on; return a row for each size of a batch."""
    model.eval()
    rows = []
    for size, count in TIMED.items():
        spans = []
        for _ in range(count):
            batch = model.stream.at(slice(start, start + size))
            began = time.perf_counter_ns(), time.process_time_ns()
            model.score(batch)
            middle = time.process_time_ns()
            model.absorb(batch)
            spans.append((middle - began[1], time.process_time_ns() - began[1], time.perf_counter_ns() - began[0]))
            start += size
        score, both, wall = (np.median(spans, 0) / size / 1e3).tolist()
        rows.append({"batch": size, "score_us": score, "us": both, "wall_us": wall})
    return rows


def spent() -> str:
    """Return the processor time that was used so far."""
    return f"{time.process_time():,.0f} s of processor time"


def messages_alone(data: Dataset, fold: Fold, model: Tgn, given: argparse.Namespace) -> Row:
    """Return the measures of LightGBM on the messages of the payments that a pass reads."""
    read, fraud = chosen(data, fold, np.random.default_rng(given.seed))
    message = model.stream.msg.numpy()
    score = common.lightgbm_scores(
        message[read.numpy()], fraud[read].numpy(), message[fold.test], given.threads, given.seed
    )
    return common.scored(data, fold, score)


def judged(data: Dataset, fold: Fold, inputs: str, given: argparse.Namespace) -> tuple[list[Row], list[Row]]:
    """Return a fold's measures and the cost of an event."""
    torch.manual_seed(given.seed)
    began = time.process_time()
    model = Tgn(edges(data, labels=inputs == "labels"))
    results = train(model, data, fold, given, f"{fold.name}, {inputs}")
    cpu = time.process_time() - began
    by_epoch = [each["ap"] for each in results]
    where = {"fold": fold.name, "inputs": inputs}
    row = {**where, "model": "TGN", **results[-1], "cpu_s": cpu, "ap_by_epoch": by_epoch}
    alone = {**where, "model": "LightGBM, messages alone", **messages_alone(data, fold, model, given)}
    return [row, alone], cost(model, int(fold.test[-1]) + 1)


def timed(data: Dataset, fold: Fold, inputs: str) -> list[Row]:
    """Return the cost of an event after some absorbed payments, with weights that learned nothing: it is the same."""
    model, end = Tgn(edges(data, labels=inputs == "labels")).eval(), int(fold.test[-1]) + 1
    for start in range(end - LIVED_IN, end, TRAIN_BATCH):
        model.absorb(model.stream.at(slice(start, min(start + TRAIN_BATCH, end))))
    return cost(model, end)


def arguments() -> argparse.Namespace:
    """Return the command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the handbook's payments, Parquet")
    parser.add_argument("--folds", default="115", help="days on which folds start, of 115,122,129,136")
    parser.add_argument("--inputs", default="plain,labels", help="messages: plain, labels or both")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--falling", action="store_true", help="let the learning rate fall to zero")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time-only", action="store_true", help="fit nothing: a minute on an otherwise idle machine")
    return parser.parse_args()


def main() -> None:
    """Fit and test every fold with every kind of message, then show both tables."""
    given = arguments()
    torch.set_num_threads(given.threads)
    data = payments(given.data)
    wanted = {f"day {each}" for each in given.folds.split(",")}
    folds = [fold for fold in protocols.fdh_folds(data) if fold.name in wanted]
    rows: list[Row] = []
    times: list[Row] = []
    for inputs in given.inputs.split(","):
        for fold in folds:
            if given.time_only:
                spans = timed(data, fold, inputs)
            else:
                ranks, spans = judged(data, fold, inputs, given)
                rows += ranks
            times += [{"fold": fold.name, "inputs": inputs, **each} for each in spans]
    ranking = (
        "model",
        "fold",
        "inputs",
        "rows",
        "frauds",
        "ap",
        "ap_interval",
        "auc",
        "cp100",
        "recall_at_1pct",
        "cpu_s",
    )
    common.table(f"TGN, labels 7 days late, {given.epochs} epochs", ranking, rows)
    common.table("An event, memory update included", ("fold", "inputs", "batch", "score_us", "us", "wall_us"), times)
    common.finish({"ranking": rows, "cost": times, "epochs": given.epochs, "seed": given.seed})


if __name__ == "__main__":
    main()
