"""Fit the temporal graph network: exact correction of the prior for rows drawn, early stopping on later days.

Every choice is made on rows whose verdicts a live service would have had: bins, strata and weights from the training
slice, epochs from the validation slice that follows it. Torch is imported here, in `encoder.py`,
`onnx_export.py` and in `models/tgn`, nowhere else.
"""

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from fraud.common.files import atomic_file
from fraud.core import metrics
from fraud.core.errors import SettingsError
from fraud.core.ports import Matrix
from fraud.core.tokens import CODE, WINDOW
from fraud.training import encoder
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.sampling import VALIDATED_ONE_IN, Codes, Shares, Strata, Tokens, bin_edges, drawn, strata
from fraud.training.splits import Rows, Slices
from models.boosting.trees import F64
from models.tgn.tgnn import Memory, NetworkConfig, NetworkShape, TemporalGraphNetwork, fold_closed

Step = Callable[[float, str], None]
"""Told the share of the work that is done, 0 to 1, and what is going on."""
PREDICT_AT_ONCE = 2_048


class NetworkSettings(NetworkShape, frozen=True):
    """How the network is fitted, and its shape. The same settings, rows and library give the same model.

    `easy_share`, `middle_share` and `hard_share` are the chances of a genuine row of each stratum to be drawn in an
    epoch, raised where fewer than `least_rows` would be; a fraud always is. The encoder of blocks learns alone first,
    in so many `encoder_steps`, see `fraud/training/encoder.py`; 0 leaves it to the network's fit. `fold_share` is the
    chance of a side to see its closed blocks as codes. `average` is the decay of the weights' moving average that is
    served.
    """

    epochs: int = 5
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    easy_share: float = 0.03
    middle_share: float = 0.15
    hard_share: float = 0.5
    least_rows: int = 36_000
    columns: int = 64
    modality_dropout: float = 0.05
    fold_share: float = 0.2
    encoder_steps: int = encoder.STEPS
    near_weight: float = 0.3
    clip: float = 1.0
    average: float = 0.995
    threads: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be; raise SettingsError."""
        shares = tuple(self.shares)
        if not all(0 < share <= 1 for share in shares):
            message = f"easy_share, middle_share and hard_share must be above 0 and at most 1, got {shares}."
            raise SettingsError(message)
        if self.width % self.heads:
            message = f"width ({self.width}) must be a multiple of heads ({self.heads})."
            raise SettingsError(message)
        if self.epochs < 1 or not 1 <= self.newest <= WINDOW:
            message = f"epochs ({self.epochs}) must be at least 1, newest ({self.newest}) 1 to {WINDOW}."
            raise SettingsError(message)

    @property
    def shares(self) -> Shares:
        """Return the chances to be drawn by stratum."""
        return Shares(self.easy_share, self.middle_share, self.hard_share)


class Epoch(NamedTuple):
    """One line of the learning curve."""

    loss: float
    validation_loss: float
    validation_ap: float


class NetworkFit(NamedTuple):
    """A fitted network and what was seen on the way.

    `validation` holds log-odds of the validation rows, float64 (rows, exits), by weights that never saw them.
    """

    trainer: "Trainer"
    validation: F64
    curve: list[Epoch]
    best: int

    @property
    def network(self) -> TemporalGraphNetwork:
        """Return the network with the weights that were best."""
        return self.trainer.average


class Trainer:
    """One fit: data, tokens, the network and its average, epoch by epoch."""

    def __init__(self, data: Dataset, tokens: Tokens, config: NetworkConfig, settings: NetworkSettings) -> None:
        """Build the network; uses a GPU where there is one."""
        torch.set_num_threads(settings.threads)
        torch.manual_seed(settings.seed)
        self.data, self.tokens, self.settings = data, tokens, settings
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = TemporalGraphNetwork(config).to(self.device)
        self.average = copy.deepcopy(self.network).eval()
        self.columns = np.array([data.names.index(name) for name in config.columns])
        self.curve: list[Epoch] = []
        self.bank: Codes = np.zeros((0, CODE), np.float32)
        self.settled = False
        self.steps = 0

    def query(self, rows: Rows) -> Matrix:
        """Return the query's features of some rows, (rows, Q)."""
        return np.ascontiguousarray(self.data.matrix[rows][:, self.columns])

    def learn_encoder(self, chances: Strata) -> None:
        """Fit the encoder alone, on rows that the booster finds hard; from there on it stands still.

        By the booster's score, never by a verdict. With too few frauds to learn from it stays as it is, and learns with
        the network.
        """
        hard = chances.rows[chances.hard]
        batches = self.tokens.batches(hard, np.zeros((len(self.tokens.blocks()), CODE), np.float32), 4_096)
        pushed = np.concatenate(
            [np.zeros((0, self.tokens.sides, 2), np.int64), *(batch.pushed for _, batch in batches)]
        )
        fraud = self.data.fraud[hard] == FRAUD
        spans = [encoder.with_blocks(pushed[:, side], fraud) for side in range(self.tokens.sides)]
        steps = self.settings.encoder_steps
        if encoder.learn(self.network.encoder, self.tokens.blocks(), spans, self.settings.seed, steps):
            self.settle()

    def settle(self) -> None:
        """Keep the encoder as it is from here on: every row then reads codes as serving will."""
        self.average.encoder.load_state_dict(self.network.encoder.state_dict())
        self.network.encoder.requires_grad_(requires_grad=False)
        self.settled = True

    def refresh(self) -> None:
        """Compute the code of every closed block under the average's encoder: what `predict` and an epoch read."""
        blocks = self.tokens.blocks()
        if self.settled and len(self.bank) == len(blocks):
            return
        self.bank = np.zeros((len(blocks), CODE), np.float32)
        if not self.settings.summaries:
            return
        with torch.no_grad():
            for begin in range(0, len(blocks), 8_192):
                part = torch.from_numpy(blocks[begin : begin + 8_192]).to(self.device)
                self.bank[begin : begin + 8_192] = self.average.encode(part).cpu().numpy()

    def predict(self, rows: Rows) -> F64:
        """Return the average's log-odds of every exit, float64 (rows, exits), by the codes of the last `refresh`."""
        order, parts = np.argsort(rows, kind="stable"), []
        with torch.no_grad():
            for some, batch in self.tokens.batches(rows[order], self.bank, PREDICT_AT_ONCE):
                x = torch.from_numpy(self.query(some)).to(self.device)
                raw, sums, codes, text = (torch.from_numpy(part).to(self.device) for part in batch[:4])
                parts.append(self.average(x, Memory(raw, sums, codes), text).cpu().double().numpy())
        out = np.empty((len(rows), parts[0].shape[1] if parts else 1))
        out[order] = np.concatenate(parts) if parts else out[order]
        return out

    def train_epoch(self, epoch: int, chances: Strata, schedule: "Schedule", tell: Callable[[float], None]) -> float:
        """Run one epoch and refresh the codes; return the mean loss."""
        torch.manual_seed(self.settings.seed * 1_000 + epoch)
        rows, log_share = drawn(self.data, chances, self.settings.seed, epoch)
        held = self._gathered(rows)
        fraud = torch.from_numpy((self.data.fraud[rows] == FRAUD).astype(np.float32))
        x, correction = torch.from_numpy(self.query(rows)), torch.from_numpy(log_share)
        order = torch.randperm(len(rows))
        self.network.train()
        total = 0.0
        for begin in range(0, len(rows), self.settings.batch):
            pick = order[begin : begin + self.settings.batch]
            parts = [part[pick].to(self.device) for part in (*held, x, fraud, correction)]
            schedule.at(epoch + begin / len(rows))
            total += self._step(schedule.optimizer, *parts) * len(pick)
            tell(begin / len(rows))
        self.refresh()
        return total / max(len(rows), 1)

    def _gathered(self, rows: Rows) -> tuple[Tensor, ...]:
        batches = [batch[:4] for _, batch in self.tokens.batches(rows, self.bank, 4_096)]
        return tuple(torch.from_numpy(np.concatenate(parts)) for parts in zip(*batches, strict=True))

    def _step(self, optimizer: torch.optim.Optimizer, *parts: Tensor) -> float:
        raw, sums, codes, text, x, fraud, correction = parts
        logits = self.network(x, self._augmented(Memory(raw, sums, codes)), text)
        loss = corrected_loss(logits, fraud, correction, self.settings.near_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        optimizer.step()
        self._follow()
        return float(loss.detach())

    def _augmented(self, memory: Memory) -> Memory:
        """Drop whole sides now and then, and show closed blocks as codes now and then."""
        settings, (events, sides) = self.settings, memory.raw.shape[:2]
        if settings.modality_dropout:
            keep = (torch.rand(events, sides, 1, 1, device=self.device) >= settings.modality_dropout).float()
            memory = Memory(memory.raw * keep, memory.sums * keep, memory.codes * keep)
        if settings.fold_share and settings.summaries:
            fold = torch.rand(events, sides, device=self.device) < settings.fold_share
            memory = fold_closed(memory, self.network.encoder, fold)
        return memory

    def _follow(self) -> None:
        """Move the average towards the weights; early on it follows closely."""
        self.steps += 1
        decay = min(self.settings.average, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for mine, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mine.lerp_(new, 1 - decay)


class Schedule:
    """AdamW on a one-cycle rate (Smith 2018): up for a tenth of the way, then down along a cosine."""

    def __init__(self, network: TemporalGraphNetwork, settings: NetworkSettings) -> None:
        """Decay matrices only."""
        matrices = [p for p in network.parameters() if p.ndim > 1]
        others = [p for p in network.parameters() if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
        self._most, self._epochs = settings.learning_rate, settings.epochs

    def at(self, epoch: float) -> None:
        """Set the rate for a point in time, in epochs."""
        share = min(epoch / self._epochs, 1.0)
        rise = min(share / 0.1, 1.0)
        fall = 0.5 * (1 + math.cos(math.pi * max(share - 0.1, 0.0) / 0.9))
        for group in self.optimizer.param_groups:
            group["lr"] = self._most * (0.05 + 0.95 * rise) * (0.005 + 0.995 * fall)


def corrected_loss(logits: Tensor, fraud: Tensor, log_share: Tensor, near_weight: float) -> Tensor:
    """Return the cross-entropy of logits (B, exits), each shifted by the log chance of its row to have been drawn.

    Genuine rows are kept with chance pi(x), frauds always, so the odds among drawn rows are the true ones over pi(x):
    what is learned is the unshifted, calibrated log-odds. Exits before the last weigh `near_weight`.
    """
    shifted = logits - log_share.unsqueeze(1)
    target = fraud.unsqueeze(1).expand_as(shifted)
    each = nnf.binary_cross_entropy_with_logits(shifted, target, reduction="none").mean(dim=0)
    weight = torch.full_like(each, near_weight)
    weight[-1] = 1.0
    return (each * weight).sum()


def fit_network(
    data: Dataset,
    tokens: Tokens,
    rows: Slices,
    score: F64,
    config: NetworkConfig,
    settings: NetworkSettings,
    step: Step | None = None,
    checkpoint: Path | None = None,
    splits: Sequence[F64] = (),
) -> NetworkFit:
    """Fit on `rows.inner` and stop where `rows.validation` is best; `score` ranks the rows of `rows.inner`.

    `splits` are the booster's thresholds of each of the query's features, see `bin_edges`.
    With a `checkpoint` a fit that was cut off goes on from its last finished epoch, to the same weights.
    """
    tell = step or (lambda done, what: None)
    trainer = Trainer(data, tokens, config, settings)
    chances = strata(rows.inner, score, settings.shares, settings.least_rows)
    sample, _ = drawn(data, chances, settings.seed, 0)
    edges = torch.from_numpy(bin_edges(trainer.query(sample), settings.bins, splits)).to(trainer.device)
    for network in (trainer.network, trainer.average):
        network.query.set_bins(edges)
    schedule = Schedule(trainer.network, settings)
    best = Best(trainer, rows.validation)
    first = resume(checkpoint, trainer, schedule, best)
    if not first and settings.summaries and settings.encoder_steps:
        tell(0.0, "encoder of blocks")
        trainer.learn_encoder(chances)
    trainer.refresh()
    for epoch in range(first, settings.epochs):
        loss = trainer.train_epoch(
            epoch,
            chances,
            schedule,
            lambda done, e=epoch: tell((e + done) / settings.epochs, f"epoch {e + 1}"),  # type: ignore[misc]
        )
        best.measure(epoch, loss)
        tell((epoch + 1) / settings.epochs, f"epoch {epoch + 1}: {best.said}")
        save_checkpoint(checkpoint, trainer, schedule, best, epoch + 1)
    return best.result()


class Best:
    """The best average so far, by the validation rows."""

    def __init__(self, trainer: Trainer, rows: Rows) -> None:
        """Start with nothing; an epoch is measured on every fraud and each fifth genuine row of `rows`."""
        fraud = trainer.data.fraud[rows] == FRAUD
        self.trainer, self.rows = trainer, rows
        self.measured = rows[fraud | (np.arange(len(rows)) % VALIDATED_ONE_IN == 0)]
        self.epoch, self.ap = -1, -1.0
        self.weights: dict[str, Any] = {}

    def measure(self, epoch: int, loss: float) -> None:
        """Measure the average; keep it when it is the best."""
        trainer = self.trainer
        fraud = trainer.data.fraud[self.measured] == FRAUD
        if not fraud.any():
            self.epoch, self.weights = epoch, copy.deepcopy(trainer.average.state_dict())
            trainer.curve.append(Epoch(loss, math.nan, math.nan))
            return
        logits = trainer.predict(self.measured)
        ap = metrics.average_precision(fraud, logits[:, -1])
        trainer.curve.append(Epoch(loss, log_loss(fraud, logits[:, -1]), ap))
        if ap > self.ap:
            self.epoch, self.ap = epoch, ap
            self.weights = copy.deepcopy(trainer.average.state_dict())

    @property
    def said(self) -> str:
        """Return the last line of the curve in words."""
        last = self.trainer.curve[-1]
        return f"loss {last.loss:.4f}, validation loss {last.validation_loss:.5f}, AP {last.validation_ap:.4f}"

    def result(self) -> NetworkFit:
        """Return the fit with the best weights."""
        trainer = self.trainer
        trainer.average.load_state_dict(self.weights)
        if self.epoch + 1 < len(trainer.curve):
            trainer.refresh()
        return NetworkFit(trainer, trainer.predict(self.rows), trainer.curve, self.epoch)


def log_loss(fraud: NDArray[np.bool_], logits: F64) -> float:
    """Return the mean cross-entropy of log-odds."""
    return float(np.mean(np.logaddexp(0.0, np.where(fraud, -logits, logits))))


def save_checkpoint(path: Path | None, trainer: Trainer, schedule: Schedule, best: Best, epochs: int) -> None:
    """Write where a fit stands, by one rename."""
    if path is None:
        return
    state = {
        "settings": msgspec.to_builtins(trainer.settings), "epochs": epochs, "steps": trainer.steps,
        "settled": trainer.settled,
        "network": trainer.network.state_dict(), "average": trainer.average.state_dict(),
        "optimizer": schedule.optimizer.state_dict(), "curve": [tuple(line) for line in trainer.curve],
        "best": (best.epoch, best.ap, best.weights),
    }  # fmt: skip
    with atomic_file(path) as file:
        torch.save(state, file)


def resume(path: Path | None, trainer: Trainer, schedule: Schedule, best: Best) -> int:
    """Take up a fit of the same settings; return the number of epochs it has finished."""
    if path is None or not path.exists():
        return 0
    state = torch.load(path, map_location=trainer.device, weights_only=True)
    if state["settings"] != msgspec.to_builtins(trainer.settings):
        return 0
    trainer.network.load_state_dict(state["network"])
    trainer.average.load_state_dict(state["average"])
    schedule.optimizer.load_state_dict(state["optimizer"])
    trainer.steps, trainer.curve = state["steps"], [Epoch(*line) for line in state["curve"]]
    best.epoch, best.ap, best.weights = state["best"]
    if state["settled"]:
        trainer.settle()
    return int(state["epochs"])
