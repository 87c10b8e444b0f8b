"""`fraud rules`: check a file, list the names."""

import json
from pathlib import Path

from typer.testing import CliRunner

from fraud.cli import app
from fraud.cli.rules import HELP
from fraud.core.rules.ruleset import compile_rules
from fraud.simulate import fdh
from streaming.wiring import vocabulary


def test_check_of_the_shipped_rules_lists_them() -> None:
    result = CliRunner().invoke(app, ["rules", "check"])
    assert result.exit_code == 0
    *described, fine, last = result.stdout.splitlines()
    assert json.loads(last)["rules"] == len(described)
    assert fine == f"{len(described)} rules, 0 lists: fine"


def test_check_of_a_faulty_file_shows_a_caret_and_fails(tmp_path: Path) -> None:
    (tmp_path / "a.fr").write_text("rule r : when amout > 1 then note")
    result = CliRunner().invoke(app, ["rules", "check", str(tmp_path / "a.fr")])
    assert result.exit_code == 1
    assert "a.fr:1:15: unknown name 'amout'. Did you mean 'amount'?" in result.stdout
    assert "^^^^^" in result.stdout


def test_check_of_a_missing_file_says_so_and_fails(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["rules", "check", str(tmp_path / "none.fr")])
    assert result.exit_code == 1
    assert "none.fr cannot be read" in result.stdout


def test_help_teaches_rules_that_compile() -> None:
    example = HELP.split("A file holds lists and rules:")[1].split("\b")[0]
    rules = compile_rules(example, vocabulary(), files={"partners.txt": "M1"})
    assert (len(rules.rules), len(rules.lists)) == (1, 2)


def test_names_finds_features_by_meaning() -> None:
    shown = CliRunner().invoke(app, ["rules", "names", "known fraud"]).stdout
    assert "card_fraud_run" in shown
    assert "hour " not in shown


def test_every_name_and_call_that_names_lists_compiles() -> None:
    words = vocabulary()
    shown = CliRunner().invoke(app, ["rules", "names"]).stdout.splitlines()
    assert json.loads(shown[-1])["names"] == len(shown) - 1
    calls = [form for name in words.terms if (form := words.form(name))]
    assert len(calls) > 100
    assert all(any(f" {call} " in line for line in shown) for call in calls)
    names = [line.split()[0] for line in shown[:-1]]
    compile_rules(f"rule r : when {' or '.join(f'missing({name})' for name in names + calls)} then note", words)


def test_replay_with_rules_gives_their_reasons(tmp_path: Path) -> None:
    traffic = fdh.generate(fdh.Fdh(cards=20, terminals=20, days=5, seed=3, radius=60.0))
    rows = (
        {"id": tx.id, "happened_at": tx.happened_at, "card": tx.card, "merchant": tx.merchant, "amount": tx.amount}
        for tx in traffic.transactions()
    )
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "m.toml").write_text(
        '[columns]\nid="id"\ntime="happened_at"\ncard="card"\nmerchant="merchant"\namount="amount"\n'
        '[time]\nunit="ns"\n[amount]\nunit="minor"\n'
    )
    (tmp_path / "a.fr").write_text('rule large "paid {amount}" : when amount > 60 then review')
    words = ["replay", "--data", str(tmp_path / "p.jsonl"), "--mapping", str(tmp_path / "m.toml")]
    words += ["--rules", str(tmp_path / "a.fr"), "--out", str(tmp_path / "o.jsonl")]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert json.loads(result.stdout.splitlines()[-1])["alerts"] > 0
    decisions = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    alert = next(each for each in decisions if each["action"] == "review")
    assert alert["reasons"][0]["code"] == "rule:large"
    assert alert["reasons"][0]["text"] == f"paid {alert['base_amount'] / 100:.2f}"
