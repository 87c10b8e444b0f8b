"""Rule files on disk: taken up when they change, refused when faulty."""

import os
from pathlib import Path

import numpy as np
import pytest

from fraud.core.errors import RuleError
from fraud.core.records import Action, Transaction, Values
from streaming.rulebook import HotRules
from streaming.wiring import vocabulary

TX = Transaction(id="t", card="C1", merchant="M1", amount=100, base_amount=100, happened_at=1, seen_at=1)
VALUES: Values = np.full(len(vocabulary().terms), np.nan, np.float32)


def write(path: Path, text: str) -> None:
    """Write a file so that its time of change differs, whatever the clock's grain."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def action(rules: HotRules) -> Action | None:
    return rules.judge(TX, VALUES).at_least


def test_changed_rules_are_taken_up_and_faulty_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "site.fr"
    write(path, "rule a : when amount >= 1 then review")
    rules = HotRules(path, vocabulary())
    first = rules.version
    assert not rules.refresh()
    write(path, "rule a : when amount >= then decline")
    assert not rules.refresh()
    assert (rules.version, rules.refused, action(rules)) == (first, 1, Action.REVIEW)
    assert "site.fr:1:25" in str(rules.fault)
    write(path, "rule a : when amount >= 1 then decline")
    assert rules.refresh()
    assert (rules.fault, rules.taken, action(rules)) == (None, 1, Action.DECLINE)
    assert rules.version != first


def test_rules_that_vanish_stay_in_use(tmp_path: Path) -> None:
    path = tmp_path / "site.fr"
    write(path, "rule a : when amount >= 1 then review")
    rules = HotRules(path, vocabulary())
    path.unlink()
    assert not rules.refresh()
    assert action(rules) is Action.REVIEW
    assert rules.refused == 1


def test_changed_list_file_is_taken_up(tmp_path: Path) -> None:
    path, listed = tmp_path / "site.fr", tmp_path / "bad.txt"
    write(path, 'list bad block card from "bad.txt"')
    write(listed, "C2\n")
    rules = HotRules(path, vocabulary())
    assert action(rules) is None
    write(listed, "C1\n")
    assert rules.refresh()
    assert action(rules) is Action.DECLINE


def test_first_reading_with_faults_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="cannot be read"):
        HotRules(tmp_path / "none.fr", vocabulary())
