"""A verdict that comes long after silence has spoken is heard: card networks allow 120 days and more."""

import json
from pathlib import Path

from typer.testing import CliRunner

from fraud.cli import app

ROWS = """ref,when,who,shop,value,outcome,known
P1,2026-01-05T08:00:00Z,K1,S1,40,1,2026-03-10T08:00:00Z
P2,2026-03-12T08:00:00Z,K1,S1,41,0,
"""
MAPPING = """[columns]
id = "ref"
time = "when"
card = "who"
merchant = "shop"
amount = "value"
label = "outcome"
label_time = "known"
"""
RULE = """rule told "{frauds(card, 30d)} of {labels(card, 30d)}" :
    when amount >= 0
    then note
"""


def test_fraud_told_after_the_deadline_is_known_to_later_payments(tmp_path: Path) -> None:
    for name, text in (("a.csv", ROWS), ("m.toml", MAPPING), ("r.fr", RULE)):
        (tmp_path / name).write_text(text)
    out = tmp_path / "o.jsonl"
    words = ["replay", "--data", str(tmp_path / "a.csv"), "--mapping", str(tmp_path / "m.toml"), "--label-delay", "7d"]
    words += ["--rules", str(tmp_path / "r.fr"), "--model", "rules", "--out", str(out), "--dead", str(tmp_path / "d")]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    told = [[reason["text"] for reason in json.loads(line)["reasons"]] for line in out.read_text().splitlines()]
    assert told == [["0 of 0"], ["1 of 1"]]
