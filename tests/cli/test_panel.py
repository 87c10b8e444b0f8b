"""What the demo shows of learning: figures in words, the same in a panel and in lines."""

import io

import pytest
from rich.console import Console

from fraud.cli import output
from fraud.cli.panel import Board, Learning, drawn, meter, shown, told
from fraud.core.records import DAY

NOW = Learning(
    "Sat 12 May 14:00", "412-1fe0a3c2", 412, True, (3.4e7, 1.2), (0.02, 0.31, 0.67), 31_204, 412, 1_300.0, 1_040.0,
    1_040.0, {"analyst": 210, "untold": 30_994}, {"merchant/M000042": 17}, 12, {"score": 0.41},
)  # fmt: skip


def test_panel_tells_version_guard_gain_and_labels() -> None:
    text = told(NOW)
    assert "412-1fe0a3c2 · refresh 412 · 2% frozen, 31% slow, 67% fast" in text
    assert "on  against it" in text
    assert "1.2 of 20" in text
    assert "+20.0% of log-loss, 0.0417 to 0.0333 · 31,204 payments, 412 frauds" in text
    assert "analyst 210, untold 30,994 · wait 12 · held by the gate 17 (merchant/M000042)" in text
    assert "score 0.41" in text


def test_panel_before_anything_is_learned_shows_the_frozen_model() -> None:
    text = told(Learning("Sat 12 May 14:00"))
    assert "frozen model · 0 refreshes computed, none in force" in text
    assert "off for it" in text
    assert "no label to judge it by yet" in text
    assert "held by the gate 0" in text
    assert "drift" not in text


def test_loss_is_shown_as_a_loss() -> None:
    assert "-10.0% of log-loss" in told(NOW._replace(served=1_430.0))


def test_what_is_learned_and_not_used_is_shown_apart() -> None:
    text = told(NOW._replace(on=False, served=1_300.0))
    assert "+0.0% of log-loss" in text
    assert "unused +20.0%" in text


@pytest.mark.parametrize(
    ("evidence", "full", "text"), [(0, 0, "0.0"), (10, 9, "10.0"), (20, 18, "20.0"), (3.4e56, 18, "3e56")]
)
def test_evidence_fills_its_bar_at_twenty(evidence: float, full: int, text: str) -> None:
    assert meter(evidence).count("█") == full
    assert len(meter(evidence)) == 18
    assert shown(evidence) == text


def test_panel_fits_a_terminal_of_eighty_columns() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(drawn(NOW))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 7
    assert all(len(line) == 80 for line in lines)


def test_board_without_a_terminal_tells_how_things_stand_once_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(output, "out", console)
    with Board(DAY) as board:
        for hour in range(50):
            board.show(NOW, 100 * DAY + hour * DAY // 24)
        board.event("Sat 12 May 14:00", "promoted", "payments get what was learned")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("-- Sat 12 May 14:00") == 3
    assert "learning  promoted  Sat 12 May 14:00  payments get what was learned" in text
