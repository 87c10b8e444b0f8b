"""The benchmarks of the network run, measure what they say, and know what is asked. No time is judged here."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fraud.core.settings import Settings
from fraud.simulate import stream
from fraud.training.dataset import Identity, write
from fraud.training.extraction import converted
from fraud.training.recording import HistoryLog, Recording
from models import registry
from models.blend import Blend
from streaming import wiring
from streaming.files import column_file
from streaming.files.table import Table
from streaming.files.values import mapping
from tests.bench import attention, exits, forward, population, scaling

SHIPPED = Path("models/artifacts")


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_forward_prints_a_line_a_way_and_holds_the_served_width_to_its_target(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = forward.measured([32, 48], [1, 2], rounds=1, times=1)
    assert [(row["by"], row["sides"]) for row in rows[::2]] == [("onnx", 2), ("onnx", 2), ("torch", 2), ("onnx", 3)]
    assert all(row["us"] > 0 for row in rows)
    forward.show([row | {"us_an_event": us} for row, us in zip(rows[2:4], (149.0, 1.0), strict=True)])
    assert capsys.readouterr().out.count("150: met") == 1


def test_attention_prints_every_way_at_every_length(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "peak", lambda way: 1.0)  # a process each; tested below
    monkeypatch.setattr("sys.argv", ["attention", "--lengths", "90,500", "--rounds", "1"])
    attention.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [line["way"] for line in result["lines"]] == 2 * list(attention.NAMES)
    assert set(attention.ASKED) < set(result["at_longest"])


def test_peak_of_a_way_is_the_memory_that_it_takes() -> None:
    # The kernel's count of resident pages is off by up to some MiB.
    assert 123 < attention.peak(lambda: np.ones(16 << 20)) < 136


def test_crossing_is_where_blocks_and_fused_attention_cost_the_same() -> None:
    def lines(blocks: list[float], fused: list[float]) -> list[dict[str, Any]]:
        both = {"blocks": blocks, "fused": fused}
        return [
            {"way": way, "length": length, "cpu_ms": ms}
            for way, found in both.items()
            for length, ms in zip((100, 1_000), found, strict=True)
        ]

    assert attention.crossing(lines([10, 10], [1, 100])) == pytest.approx(100 * 10**0.5)
    assert attention.crossing(lines([1, 1], [2, 2])) == 0
    assert attention.crossing(lines([3, 3], [2, 2])) == float("inf")


def test_scaling_measures_each_part_on_rows_that_have_lived(capsys: pytest.CaptureFixture[str]) -> None:
    by = scaling.served()
    one = scaling.grown(40, 30, by)
    histories = one.store.histories_of(by.encoder)
    assert len(histories) == 30 + population.MERCHANTS
    copies = [histories.get(f"c{prefix}") for prefix in ("c0", "c10", "c20")]
    assert copies[0] == copies[1] == copies[2] != bytes(len(copies[0]))
    rows = scaling.sweep([one, scaling.grown(40, 60, by)], by, 64, 1)
    assert all(row[part] > 0 for row in rows for part in scaling.PARTS)
    scaling.show("", [row | {"ratio": ratio, "with_forward": 1.0} for row, ratio in zip(rows, (1, 1.3), strict=True)])
    assert "ratio: at most 1.300, flat within 20 %: MISSED" in capsys.readouterr().out


def test_scaling_leaves_out_what_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert scaling.fitting([10, 1_000, 20, 20], 40 * scaling.CARD_BYTES) == [10, 20]
    assert "1,000 cards do not fit" in capsys.readouterr().out


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return vectors and recorded histories of some weeks of traffic."""
    root = tmp_path_factory.mktemp("exits")
    column_file.write(
        root / "traffic.parquet", stream("rich").make(cards=60, merchants=40, days=40, fraud_share=0.05).columns()
    )
    with Recording(root / "histories") as recorder:
        table = Table(root / "traffic.parquet", mapping.load("native"))
        extraction = wiring.extraction(table, None, Settings(), recorder)
        identity = Identity("made", extraction.spec_version, -1)
        write(root, identity, extraction.names, converted(extraction))
    return root / identity.key, root / "histories"


def test_exits_report_on_a_shipped_blend_is_complete(
    recorded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    given = argparse.Namespace(
        root=str(SHIPPED), name="demo-blend", data=str(recorded[0]), recording=str(recorded[1]), start=0.85, batches=2,
        rounds=1,
    )  # fmt: skip
    result = exits.run(given)
    found = result["quality"]
    assert sum(found["leave"]) == pytest.approx(1, abs=1e-3)
    assert sum(found["frauds_leave"]) == found["frauds"] > 0
    assert set(result["us_an_event"]) == {"exit_0", "early", "full", "saved"}
    exits.show(result)
    assert "time saved at batch 32" in capsys.readouterr().out


def test_exits_decode_what_the_recording_reads(recorded: tuple[Path, Path]) -> None:
    log, rows = HistoryLog(recorded[1]), np.array([5, 300, 301, 900])
    codes = Blend.of(registry.load(SHIPPED, "demo-blend")).encode(log.blocks())
    _, wanted = next(log.batches(rows, codes))
    got = exits.copies(recorded[1], log, rows, codes).tokens(range(4), log.sides)
    for name in ("raw", "sums", "codes", "text"):
        assert np.array_equal(getattr(got, name), getattr(wanted, name)), name
