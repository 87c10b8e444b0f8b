"""The benchmark of state runs and compares."""

import json

import pytest

from tests.bench import state


def test_quick_run_prints_ratios_of_every_size(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setattr("sys.argv", ["state", "--quick"])
    state.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["size"] for row in result["cards"]] == [100, 1_000]
    assert all(row["us"] > 0 for row in result["cards"] + result["histories"])
    assert (result["entity_bytes"], result["pair_bytes"]) == (4_096, 256)
