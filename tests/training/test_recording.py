"""What the network is trained on is what it is served, to the last byte: tokens, codes and text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.ports import Codes, Histories, Matrix, Tokens
from fraud.core.records import DAY, Answer, Reject, Score
from fraud.core.settings import Settings
from fraud.simulate import stream
from fraud.training.dataset import Identity, write
from fraud.training.encoder import pooled
from fraud.training.extraction import converted
from fraud.training.recording import HistoryLog, Recording
from models.rules_only import RulesOnly
from streaming import wiring
from streaming.files import column_file
from streaming.files.table import Table
from streaming.files.values import mapping
from streaming.replay.history import HistorySource, history, ordered
from streaming.run import run
from streaming.wiring import assemble, strategy

DELAY = DAY
LEAST = 1_000
MADE = {"cards": 30, "merchants": 40, "days": 40, "fraud_share": 0.05}


def coded(blocks: Matrix) -> Codes:
    """Return a made-up code of each block: fixed random projections, each block by itself."""
    weights = np.random.default_rng(1).normal(size=(16 * 20, 32)).astype(np.float32)
    return np.stack([np.tanh(block.reshape(-1) @ weights) for block in blocks]).astype(np.float32)


class Served(RulesOnly):
    """A scorer that keeps the tokens it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, tuple[np.ndarray[Any, Any], ...]] = {}

    @property
    def encoder(self) -> str:
        return "made-up"

    def encode(self, blocks: Matrix) -> Codes:
        return coded(blocks)

    def score(self, ids: Sequence[str], matrix: Matrix, histories: Histories | None = None) -> list[Score]:
        assert histories is not None
        read = histories.tokens(range(len(ids)), 3)
        for place, tx_id in enumerate(ids):
            self.seen[tx_id] = read.raw[place], read.sums[place], read.codes[place], read.text[place]
        return super().score(ids, matrix)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return days of payments with devices, texts and frauds, as a file."""
    path = tmp_path_factory.mktemp("history") / "traffic.parquet"
    column_file.write(path, stream("rich").make(**MADE).columns())
    return path


@pytest.fixture(scope="module")
def served(file: Path) -> Served:
    """Return a scorer that was served the history by the live engine, in batches of 7."""
    settings, scorer, store = Settings(), Served(), MemoryStore()
    extractor = OnlineExtractor(store)
    chosen = msgspec.structs.replace(strategy(settings, extractor.version), scorer=scorer)
    engine = assemble(settings, store, extractor, chosen).engine

    class Nowhere:
        def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
            """Drop everything."""

        def flush(self) -> None:
            """Do nothing."""

        def close(self) -> None:
            """Do nothing."""

    events = history(ordered(Table(file, mapping.load("native")).rows()), DELAY)
    run(HistorySource(events, 7), engine, Nowhere(), lambda *_: True)
    return scorer


@pytest.fixture(scope="module")
def log(file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[HistoryLog, list[str]]:
    """Return the recording that training makes of the same history, and the ids of its payments."""
    folder = tmp_path_factory.mktemp("recorded")
    ids: list[str] = []
    with Recording(folder / "log") as recording:
        extraction = wiring.extraction(Table(file, mapping.load("native")), DELAY, None, recording)

        def noted() -> Any:
            for row in converted(extraction):
                ids.append(row.tx.id)
                yield row

        write(folder, Identity("made-up", extraction.spec_version, DELAY), extraction.names, noted())
    return HistoryLog(folder / "log"), ids


def read_all(log: HistoryLog, rows: np.ndarray[Any, Any]) -> Tokens:
    parts = [batch[:4] for _, batch in log.batches(rows, coded(log.blocks()), at_once=300)]
    return Tokens(*(np.concatenate(one) for one in zip(*parts, strict=True)))


def differing(read: Tokens, ids: Sequence[str], rows: np.ndarray[Any, Any], served: Served) -> int:
    """Count rows whose tokens differ; of payments under one id only the first, for others have other names."""
    made = zip(read.raw, read.sums, read.codes, read.text, strict=True)
    first = {tx_id: row for row, tx_id in reversed(list(enumerate(ids)))}
    return sum(
        any(one.tobytes() != other.tobytes() for one, other in zip(parts, served.seen[ids[row]], strict=True))
        for parts, row in zip(made, rows, strict=True)
        if first[ids[row]] == row
    )


def test_training_tokens_are_the_served_ones_to_the_last_byte(
    log: tuple[HistoryLog, list[str]], served: Served
) -> None:
    history, ids = log
    assert history.sides == 3
    assert history.has_text
    rows = np.sort(np.random.default_rng(3).choice(len(ids), min(3 * LEAST, len(ids)), replace=False))
    assert len(rows) >= LEAST
    read = read_all(history, rows)
    assert differing(read, ids, rows, served) == 0
    # What is compared is not empty: labels, known frauds, summaries and their codes are all among it.
    assert read.raw[..., 22].sum() > LEAST
    assert read.raw[..., 28].any()
    assert np.abs(read.codes).sum() > 1
    assert (read.text > 0).any()


def test_training_tokens_with_a_change_left_out_are_told_apart(
    log: tuple[HistoryLog, list[str]], served: Served
) -> None:
    history, ids = log
    rows = np.arange(len(ids) - 200, len(ids))
    short = msgspec.structs.replace(read_all(history, rows))
    shifted = {tx_id: served.seen[ids[max(row - 1, 0)]] for row, tx_id in enumerate(ids)}
    other = Served()
    other.seen = shifted
    assert differing(short, ids, rows, other) == len(rows) - sum(ids.index(ids[row]) != row for row in rows)


def test_all_blocks_of_a_past_merge_to_what_the_pyramid_holds_of_it(log: tuple[HistoryLog, list[str]]) -> None:
    history, ids = log
    codes = coded(history.blocks())
    batch = next(history.batches(np.arange(len(ids) - LEAST, len(ids)), codes, at_once=LEAST))[1]
    pushed, sums = batch.pushed.reshape(-1, 2), torch.from_numpy(batch.sums.reshape(-1, *batch.sums.shape[2:]))
    many = torch.from_numpy(pushed[:, 1])
    counts = (torch.expm1(sums[..., 2].double() * 10) / 16).round().long()  # events are kept as their logarithm
    assert torch.equal(counts.sum(1), many)
    assert int((counts > 1).sum()) > LEAST
    has = many > 0
    spans = pushed[has.numpy()]
    places = np.concatenate([np.arange(begin, begin + count) for begin, count in spans.tolist()])
    merged = pooled(torch.from_numpy(codes[places]), spans[:, 1]).numpy()
    held, share = batch.codes.reshape(-1, *batch.codes.shape[2:])[has.numpy()], (counts / many[:, None])[has].numpy()
    np.testing.assert_allclose(merged[:, :16], (held[..., :16] * share[..., None]).sum(1), atol=1e-5)
    most = np.where(share[..., None] > 0, held[..., 16:], -np.inf).max(1)
    np.testing.assert_allclose(merged[:, 16:], most, atol=1e-6)


def test_recording_that_breaks_off_leaves_none(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Recording(tmp_path / "log"):
        raise RuntimeError("cut off")
    assert not (tmp_path / "log").exists()
