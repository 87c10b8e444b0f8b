"""Bitcoin-OTC trust ratings through our own path, beside the one-line rule and published figures.

    python -m tests.bench.peers.bitcoin --data ml_bitcoinotc.csv [--network] [--reading "both sides"] [--labels never]

Each rating of user u by user i is an event that scores u before its own label is used; learned before the 85 % time
quantile, tested on everything after it. The rating itself is never read: amounts say the role alone.

How a rating becomes payments is chosen among the readings of `readings.py` on rows before the test, without labels in
the features; `--reading` takes one unseen. The shipped mapping's reading, one side, is always shown beside it. The file
and the mapping of a reading stay in `build/peers`, so that the command line does the same:

    fraud evaluate --data build/peers/both_sides.csv --mapping build/peers/both_sides.toml --label-delay none

Labels `never`: not in features, tokens or the rule. `at-once`: known right after each edge.
Intervals are drawn over raters, differences to the one-sided reading over the same. Progress on standard error, then
two tables and one JSON line.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from fraud.training import protocols
from fraud.training.dataset import FRAUD, Dataset
from models.boosting.trees import F64
from tests.bench.peers import common, readings
from tests.bench.peers.common import FOLDER, SPLIT, Row, say
from tests.bench.peers.readings import Reading

DELAYS = {"never": "none", "at-once": "0s"}
PUBLISHED = {"JODIE": 0.158, "TGAT": 0.188, "TGN": 0.199, "SLADE": 0.205, "nine causal counts, boosted": 0.453}
"""Average precision as reported on this file and split, labels never visible."""
SHIPPED = readings.READINGS[0]
RULE = "rule: running fraud share"

Tested = tuple[Dataset, protocols.Fold, dict[str, F64]]
"""A reading's vectors, its fold, and the scores of the test rows by model."""


def running_share(data: Dataset, fold: protocols.Fold) -> F64:
    """Return the rule: the share of frauds among the card's edges so far, one edge of the usual share added."""
    cards = int(data.card.max()) + 1
    seen, frauds, out = np.zeros(cards), np.zeros(cards), np.empty(len(data.card))
    usual = float(np.mean(data.fraud[data.time < fold.span.end] == FRAUD))
    for row, (card, fraud) in enumerate(zip(data.card.tolist(), (data.fraud == FRAUD).tolist(), strict=True)):
        out[row] = (frauds[card] + usual) / (seen[card] + 1)
        seen[card] += 1
        frauds[card] += fraud
    return out[fold.test]


def tested(given: argparse.Namespace, reading: Reading, labels: str) -> Tested:
    """Return what every model says of the test rows under one reading."""
    history = readings.extracted(given.data, reading, DELAYS[labels], FOLDER, histories=given.network)
    data, fold = history.data, protocols.chronological_fold(history.data, SPLIT)
    scores = {RULE: running_share(data, fold)} if reading == SHIPPED and labels == "at-once" else {}
    scores["LightGBM, same features"] = common.plain_lightgbm(data, fold, given.threads, given.seed)
    return data, fold, scores | common.our_scores(history, fold, given, f"{reading.name}, {labels}")


def judged(given: argparse.Namespace, taken: Sequence[Reading], labels: str) -> list[Row]:
    """Return the measures of every model under each reading; the first reading is what the others are compared with."""
    rows: list[Row] = []
    base = tested(given, taken[0], labels)
    for reading in taken:
        data, fold, scores = base if reading == taken[0] else tested(given, reading, labels)
        if not np.array_equal(data.fraud[fold.test], base[0].fraud[base[1].test]):
            message = f"The test rows of '{reading.name}' are not those of '{taken[0].name}': expected the same."
            raise RuntimeError(message)
        for model, score in scores.items():
            row = {"reading": reading.name, "labels": labels, "model": model, **common.scored(*base[:2], score)}
            gain = {} if reading == taken[0] else {"gain": common.gain(*base[:2], score, base[2][model])}
            rows.append({**row, **gain})
            say(f"{reading.name}, labels {labels}, {model}: AP {row['ap']:.4f}")
    return rows


def choices(given: argparse.Namespace) -> tuple[Reading, list[Row]]:
    """Return the reading to be tested, and what it was chosen by."""
    if given.reading:
        return next(reading for reading in readings.READINGS if reading.name == given.reading), []
    ranks = [
        readings.ranked(given.data, reading, DELAYS["never"], FOLDER, given.threads, (given.seed,))
        for reading in readings.READINGS
    ]
    return readings.chosen(ranks), ranks


def arguments() -> argparse.Namespace:
    """Return the command's options."""
    parser = common.parser(__doc__, "the edges, ml_bitcoinotc.csv")
    parser.add_argument("--reading", choices=[reading.name for reading in readings.READINGS], help="choose nothing")
    parser.add_argument("--labels", default="never,at-once")
    return parser.parse_args()


def main() -> None:
    """Choose a reading, judge every model on it and on the shipped one, and show them beside what was published."""
    given = arguments()
    reading, ranks = choices(given)
    taken = [SHIPPED] if reading == SHIPPED else [SHIPPED, reading]
    rows: list[Row] = [{"labels": "never", "model": f"{name} (reported)", "ap": ap} for name, ap in PUBLISHED.items()]
    for labels in given.labels.split(","):
        rows += judged(given, taken, labels)
    common.table("Readings, before the test", ("reading", "labels", "ap", "ap_by_fold"), ranks)
    columns = ("model", "reading", "labels", "rows", "frauds", "ap", "ap_interval", "gain", "auc", "recall_at_1pct")
    common.table("Bitcoin-OTC, after the 85 % time quantile; gain is over one side", columns, rows)
    common.finish({"chosen": reading.name, "readings": ranks, "rows": rows, "seed": given.seed})


if __name__ == "__main__":
    main()
