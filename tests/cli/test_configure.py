"""Settings from file, environment and command line, as the commands take them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fraud.cli import app
from fraud.core.errors import SettingsError
from fraud.core.settings import load
from fraud.simulate import fdh
from streaming.settings import ServiceSettings


@pytest.fixture
def payments(tmp_path: Path) -> Path:
    """A small history, in the native form."""
    traffic = fdh.generate(fdh.Fdh(cards=20, terminals=20, days=5, seed=3, radius=60.0))
    path = tmp_path / "p.jsonl"
    rows = (
        {"id": tx.id, "happened_at": tx.happened_at, "card": tx.card, "merchant": tx.merchant, "amount": tx.amount}
        for tx in traffic.transactions()
    )
    path.write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "m.toml").write_text(
        '[columns]\nid="id"\ntime="happened_at"\ncard="card"\nmerchant="merchant"\namount="amount"\n'
        '[time]\nunit="ns"\n[amount]\nunit="minor"\n'
    )
    return path


def replayed(payments: Path, *more: str) -> tuple[int, str]:
    """Return exit status and all that a replay says."""
    folder = payments.parent
    words = ["replay", "--data", str(payments), "--mapping", str(folder / "m.toml"), "--dead", str(folder / "d.jsonl")]
    result = CliRunner().invoke(app, [*words, *more])
    return result.exit_code, result.stdout + str(result.exception or "")


def test_printed_settings_read_back_are_the_same() -> None:
    text = CliRunner().invoke(app, ["settings"], env={"FRAUD_MONEY__BASE": "USD"}).stdout
    assert load(text, {}, ServiceSettings) == load("", {"FRAUD_MONEY__BASE": "USD"}, ServiceSettings)
    assert load(text, {}, ServiceSettings) != ServiceSettings()


def test_settings_file_in_the_current_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fraud.toml").write_text("[engine]\nbatch = 7\n")
    monkeypatch.chdir(tmp_path)
    assert "batch = 7" in CliRunner().invoke(app, ["settings"]).stdout


def test_settings_file_that_is_missing_is_an_error_with_its_name() -> None:
    result = CliRunner().invoke(app, ["settings", "--settings", "nowhere.toml"])
    assert isinstance(result.exception, SettingsError)
    assert "nowhere.toml" in str(result.exception)


def test_file_of_settings_changes_what_is_decided(payments: Path) -> None:
    file = payments.parent / "s.toml"
    file.write_text('[policy]\nkind = "threshold"\n[policy.threshold]\nchallenge = 0.0\nreview = 0.5\n')
    usual = json.loads(replayed(payments)[1].splitlines()[-1])
    changed = json.loads(replayed(payments, "--settings", str(file))[1].splitlines()[-1])
    assert usual["alerts"] == 0
    assert changed["alerts"] == changed["decisions"] > 50


def test_largest_amount_of_the_settings_rejects_what_is_above(payments: Path) -> None:
    file = payments.parent / "s.toml"
    file.write_text("[money]\nmax_amount = 5000\n")
    status, said = replayed(payments, "--settings", str(file))
    result = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    assert result["rejects"]["amount"] > 0
    assert status == (2 * result["rejects"]["amount"] > result["read"])
    assert result["decisions"] > 0


def test_alert_budget_without_a_model_says_that_scores_are_needed(payments: Path) -> None:
    file = payments.parent / "s.toml"
    file.write_text('[policy]\nkind = "capacity"\n')
    status, said = replayed(payments, "--settings", str(file))
    assert status
    assert "0 scores" in said


def test_alert_budget_with_a_model_is_met_with_the_models_own_scores(payments: Path) -> None:
    file = payments.parent / "s.toml"
    file.write_text('[policy]\nkind = "capacity"\n')
    checked = CliRunner().invoke(app, ["check", "--settings", str(file), "--model", "demo"])
    assert checked.exit_code == 0, checked.output
    assert checked.stdout.strip().endswith("ready")


@pytest.mark.parametrize(
    ("base", "paid", "sums"), [("JPY", "8000", ["8000", "16000"]), ("KWD", "8.25", ["8.25", "16.50"])]
)
def test_base_of_other_digits_counts_in_its_own_major_units(
    payments: Path, base: str, paid: str, sums: list[str]
) -> None:
    folder = payments.parent
    rows = [f"T{n},2025-01-01T00:0{n}:00Z,C1,M1,{paid},0" for n in range(3)]
    (csv := folder / "a.csv").write_text("\n".join(["id,time,card,merchant,amount,fraud", *rows, ""]))
    (folder / "m.toml").write_text(
        '[columns]\nid="id"\ntime="time"\ncard="card"\nmerchant="merchant"\namount="amount"\nlabel="fraud"\n'
        f'[amount]\ncurrency = "{base}"\n'
    )
    (folder / "r.fr").write_text(
        'rule seen "{amount} of {sum(card, 1d)}" :\n  when sum(card, 1d) >= amount\n  then note\n'
    )
    (folder / "s.toml").write_text(f'[money]\nbase = "{base}"\n')
    given = ["--settings", str(folder / "s.toml"), "--rules", str(folder / "r.fr"), "--model", "rules"]
    status, said = replayed(csv, *given, "--label-delay", "none", "--out", str(folder / "out.jsonl"))
    assert status == 0, said
    told = [json.loads(line)["reasons"] for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [[each["text"] for each in one] for one in told] == [[], *([f"{paid} of {one}"] for one in sums)]
