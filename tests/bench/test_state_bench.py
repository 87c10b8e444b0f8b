"""The benchmark of state runs, measures what it says, and leaves bounded rows behind. No time is judged here."""

import json

import numpy as np
import pytest

from features.state import layout as at
from features.state.tables import card_key, pair_key
from tests.bench import population, resident, state


def test_quick_run_prints_ratios_of_every_size(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(state, "bytes_of_state", lambda counts, progress: [])
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setattr("sys.argv", ["state", "--quick"])
    state.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["size"] for row in result["cards"]] == [100, 1_000]
    assert all(row["us"] > 0 and row["ratio"] > 0 for row in result["cards"] + result["histories"])
    assert (result["entity_bytes"], result["pair_bytes"]) == (4_096, 256)
    assert json.loads(state.OUT.read_text()) == result


def test_population_of_copies_gives_every_card_a_lived_in_row_and_pairs() -> None:
    one = population.with_cards(300)
    assert one.rows == (300 + population.MERCHANTS, 300 * population.SHOPS)
    for card in (0, 150, 299):
        header = np.frombuffer(one.store.entities.get(card_key(f"c{card}")), np.int64, at.H_COUNT + 1)
        assert header[at.H_COUNT] > 1
        assert any(one.store.pairs.get(pair_key(f"c{card}", population.shop(card, 0))))


def test_histories_of_any_length_leave_rows_of_the_same_number_and_size() -> None:
    short, long = population.with_histories(10, 40), population.with_histories(60, 40)
    assert short.rows[0] == long.rows[0]
    assert long.row_bytes == long.rows[0] * 4_096 + long.rows[1] * 256


def test_measuring_absorbs_every_event_and_applies_every_fifth_label() -> None:
    one = population.with_histories(1, 10)
    before = totals(one)
    assert population.measured(one, 1, 100) > 0
    events, labels = totals(one)
    assert (events - before[0], labels - before[1]) == (100, 20)


def totals(one: population.Population) -> list[int]:
    """Return the events and the labels that all cards hold."""
    rows = [np.frombuffer(one.store.entities.get(card_key(f"c{card}")), np.int64, 16) for card in range(one.cards)]
    return [sum(int(row[field]) for row in rows) for field in (at.H_COUNT, at.H_LABELS)]


@pytest.mark.parametrize("kind", ["entity", "pair"])
def test_resident_bytes_of_a_record_exceed_its_row(kind: str) -> None:
    assert state.BOUND[kind] < resident.bytes_a_record(kind, 20_000) < state.BOUND[kind] + 1_000


def test_explanation_names_the_sizes_beyond_a_cache(capsys: pytest.CaptureFixture[str]) -> None:
    state.explain([{"size": 1_000, "mib": 1.0}, {"size": 9_000, "mib": 9.0}], {"L2": 2_048})
    assert "L2 of 2,048 KiB is outgrown at 9,000 cards" in capsys.readouterr().out
