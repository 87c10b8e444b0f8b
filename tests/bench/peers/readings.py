"""Readings of an edge list of ratings: which payments a rating becomes, and which reading to take.

Our features know entities by their role. Read as it stands, a rating of user u by user i is one payment of card u at
merchant i, and what u did as a rater is never seen, for card u and merchant u are two entities. A reading from both
sides adds a second payment a rating, of card i at merchant u and ten times the amount, without a label: it is never
scored and never learned from, and a user's card and merchant rows then hold both roles, told apart by the amount.
It comes right after the first, so a rating is scored before either is absorbed.

Windows of features end at 30 days, lives of users do not; a reading may squeeze time a thousand times, seconds read as
milliseconds, so that the windows cover a life.

`chosen` takes the reading that ranks best on rows before the test: three folds, each learned before a time quantile and
judged on the tenth of the span that follows it.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fraud.training import protocols
from fraud.training.dataset import Dataset
from fraud.training.protocols import Fold
from tests.bench.peers import common
from tests.bench.peers.common import History, Row, say

SHIPPED = "bitcoinotc"
HEAD = ("ts", "card", "merchant", "device", "amount", "label")
RATED, RATER = 1, 10
"""Amounts of the two payments of a rating."""
INNER = (0.55, 0.65, 0.75)
STEP = 0.1


class Reading(NamedTuple):
    """How ratings are read: from both sides or from one, with the rated user as device, how time is taken."""

    name: str
    both: bool
    device: bool = False
    unit: str = "s"


READINGS = (
    Reading("one side", both=False),
    Reading("one side, squeezed", both=False, unit="ms"),
    Reading("both sides", both=True),
    Reading("both sides, squeezed", both=True, unit="ms"),
    Reading("both sides, device", both=True, device=True),
    Reading("both sides, device, squeezed", both=True, device=True, unit="ms"),
)


def mapping(reading: Reading) -> str:
    """Return the mapping of a file that `write` has written, TOML."""
    columns = [f'{role} = "{role}"' for role in HEAD[1:] if role != "device" or reading.device]
    time = [f'unit = "{reading.unit}"', 'origin = "2010-11-08T18:45:11Z"']
    return "\n".join(["[columns]", 'time = "ts"', *columns, "", "[time]", *time, ""])


def payments(edge: Row, reading: Reading) -> Iterator[tuple[Any, ...]]:
    """Yield the payments of a rating, as `HEAD` names their columns; the first one is scored."""
    time, rated, rater = edge["ts"], edge["u"], edge["i"]
    yield time, rated, rater, rated, RATED, edge["label"]
    if reading.both:
        yield time, rater, rated, rated, RATER, ""


def write(source: Path, reading: Reading, folder: Path) -> tuple[Path, Path]:
    """Write the payments of an edge list and the mapping that reads them; return where both are."""
    folder.mkdir(parents=True, exist_ok=True)
    name = reading.name.replace(", ", "_").replace(" ", "_")
    path, how = folder / f"{name}.csv", folder / f"{name}.toml"
    how.write_text(mapping(reading), encoding="utf-8")
    with source.open(newline="") as read, path.open("w", newline="") as written:
        out = csv.writer(written)
        out.writerow(HEAD)
        for edge in csv.DictReader(read):
            out.writerows(payments(edge, reading))
    return path, how


def extracted(source: Path, reading: Reading, delay: str, folder: Path, *, histories: bool = False) -> History:
    """Return the vectors of a reading, labels `delay` late ('none': never); the shipped mapping reads one side."""
    shipped = not reading.both and reading.unit == "s"
    path, how = (source, SHIPPED) if shipped else write(source, reading, folder)
    return common.extracted(path, str(how), delay, folder / "cache", histories=histories)


def inner_folds(data: Dataset) -> list[Fold]:
    """Return folds that end before the test's rows begin."""
    folds = []
    for split in INNER:
        fold = protocols.chronological_fold(data, split)
        until = int(np.quantile(data.time, split + STEP, method="lower"))
        folds.append(fold._replace(test=fold.test[data.time[fold.test] <= until]))
    return folds


def ranked(source: Path, reading: Reading, delay: str, folder: Path, threads: int, seeds: Sequence[int]) -> Row:
    """Return a reading's average precision with our booster on the inner folds, each the mean over seeds."""
    history = extracted(source, reading, delay, folder)
    found = [
        float(np.mean([_precision(history, fold, threads, seed) for seed in seeds]))
        for fold in inner_folds(history.data)
    ]
    row = {"reading": reading.name, "labels": delay, "ap_by_fold": found, "ap": float(np.mean(found))}
    say(f"{reading.name}, labels {delay}: AP {row['ap']:.4f} before the test, {common.cell(found)} by fold")
    return row


def _precision(history: History, fold: Fold, threads: int, seed: int) -> float:
    (score,) = common.booster_scores(history.data, fold, threads, seed).values()
    return float(protocols.measure(history.data, fold.test, score)["ap"])


def chosen(rows: Sequence[Row]) -> Reading:
    """Return the reading that ranked best."""
    best = max(rows, key=lambda row: float(row["ap"]))
    return next(reading for reading in READINGS if reading.name == best["reading"])
