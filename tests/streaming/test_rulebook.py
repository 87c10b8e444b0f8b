"""Rule files on disk: taken up when they change, refused when faulty."""

import os
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from fraud.core.errors import RuleError
from fraud.core.records import Action, Transaction, Values
from fraud.core.rules.ruleset import RuleSet
from fraud.core.rules.vocabulary import Vocabulary
from streaming.rule_file import Reading, ReloadingRules, read_rules
from streaming.settings import ServiceSettings, changed
from streaming.wiring import rule_book, vocabulary
from tests.site import until

TX = Transaction(id="t", card="C1", merchant="M1", amount=100, base_amount=100, happened_at=1, seen_at=1)
VALUES: Values = np.full(len(vocabulary().terms), np.nan, np.float32)
REVIEW = "rule a : when amount >= 1 then review"
DECLINE = "rule a : when amount >= 1 then decline"
BLOCK = 'list bad block card from "bad.txt"'


def write(path: Path, text: str | bytes) -> None:
    """Write a file so that its time of change differs, whatever the clock's grain."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(path, ns=(before + 10**9, before + 10**9))


def action(rules: ReloadingRules) -> Action | None:
    return rules.judge(TX, VALUES).at_least


def refreshed(rules: ReloadingRules) -> bool:
    """Look twice, for a change is taken up once it has settled."""
    return rules.refresh() or rules.refresh()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "site.fr"


@pytest.fixture
def rules(path: Path) -> ReloadingRules:
    """Return a rule book in use that reviews."""
    write(path, REVIEW)
    return ReloadingRules(path, vocabulary())


def test_changed_rules_are_taken_up_and_faulty_ones_refused(path: Path, rules: ReloadingRules) -> None:
    first = rules.version
    assert not refreshed(rules)
    write(path, "rule a : when amount >= then decline")
    assert not refreshed(rules)
    assert (rules.version, rules.refused, action(rules)) == (first, 1, Action.REVIEW)
    assert "site.fr:1:25" in str(rules.fault)
    write(path, DECLINE)
    assert refreshed(rules)
    assert (rules.fault, rules.taken, action(rules)) == (None, 1, Action.DECLINE)
    assert rules.version != first


def test_faulty_rules_are_refused_once_and_forgotten_when_put_right(path: Path, rules: ReloadingRules) -> None:
    write(path, "rule")
    for _ in range(4):
        assert not rules.refresh()
    assert rules.refused == 1
    write(path, REVIEW)
    assert not refreshed(rules)
    assert (rules.fault, rules.taken, action(rules)) == (None, 0, Action.REVIEW)


def test_file_that_is_being_written_is_not_taken_up(path: Path, rules: ReloadingRules) -> None:
    write(path, "")
    assert not rules.refresh()
    write(path, "rule a : wh")
    assert not rules.refresh()
    write(path, DECLINE)
    assert not rules.refresh()
    assert action(rules) is Action.REVIEW
    assert rules.refresh()
    assert (action(rules), rules.refused) == (Action.DECLINE, 0)


def test_change_with_an_old_time_and_the_same_size_is_taken_up(path: Path, rules: ReloadingRules) -> None:
    stat, other = path.stat(), path.with_suffix(".new")
    other.write_text(REVIEW.replace(">= 1 ", ">= 9 "))
    os.utime(other, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    assert other.stat().st_size == stat.st_size
    other.replace(path)
    assert refreshed(rules)
    assert action(rules) is None


def test_rules_that_vanish_stay_in_use_until_they_come_back(path: Path, rules: ReloadingRules) -> None:
    path.unlink()
    assert not refreshed(rules)
    assert action(rules) is Action.REVIEW
    assert rules.refused == 1
    write(path, DECLINE)
    assert refreshed(rules)
    assert action(rules) is Action.DECLINE


@pytest.mark.parametrize(
    "faulty",
    [
        b'list l block card from "a\0b"',
        b'list l block card from "' + b"x" * 300 + b'"',
        b'list l block card from "."',
        b"rule r : when " + b"(" * 5_000,
        b"rule r : when amount > 1" + b" + 1" * 5_000 + b" then note",
        b"rule r : when card_since_last > " + b"9" * 400 + b"d then note",
        "rule a : when text contains 'é'".encode("latin-1"),
    ],
    ids=["nul", "long-name", "folder", "brackets", "sum", "duration", "latin-1"],
)
def test_faulty_file_of_any_kind_never_ends_the_service(path: Path, rules: ReloadingRules, faulty: bytes) -> None:
    write(path, faulty)
    assert not refreshed(rules)
    assert (rules.refused, action(rules)) == (1, Action.REVIEW)


def test_changed_list_file_is_taken_up(path: Path) -> None:
    listed = path.parent / "bad.txt"
    write(path, BLOCK)
    write(listed, "C2\n")
    rules = ReloadingRules(path, vocabulary())
    assert action(rules) is None
    write(listed, "C1\n")
    assert refreshed(rules)
    assert action(rules) is Action.DECLINE


def test_list_file_named_by_a_change_is_watched_from_then_on(path: Path, rules: ReloadingRules) -> None:
    listed = path.parent / "bad.txt"
    write(path, BLOCK)
    assert not refreshed(rules)
    assert "list file 'bad.txt' cannot be read" in str(rules.fault)
    write(listed, "C1\n")
    assert refreshed(rules)
    assert action(rules) is Action.DECLINE
    listed.unlink()
    assert not refreshed(rules)
    assert (action(rules), rules.refused) == (Action.DECLINE, 2)


def test_list_file_in_another_encoding_is_a_fault(path: Path) -> None:
    write(path, BLOCK)
    write(path.parent / "bad.txt", "Müller\n".encode("latin-1"))
    with pytest.raises(RuleError, match=r"site\.fr:1:26: list file 'bad\.txt' cannot be read: expected a UTF-8 text"):
        read_rules(path, vocabulary())


def test_byte_order_mark_is_no_fault(path: Path) -> None:
    write(path, b"\xef\xbb\xbf" + REVIEW.encode())
    assert len(read_rules(path, vocabulary()).rules) == 1


def test_first_reading_with_faults_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="cannot be read"):
        ReloadingRules(tmp_path / "none.fr", vocabulary())


@pytest.mark.parametrize("name", ["../secret.txt", "{outside}", "linked.txt", "sub/../../secret.txt"])
def test_list_file_outside_the_folder_of_the_rules_is_refused_and_none_of_it_is_shown(
    path: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    (path.parent / "sub").mkdir()
    outside = path.parent.parent / "secret.txt"
    outside.write_text("hunter2 until never\n")
    (path.parent / "linked.txt").symlink_to(outside)
    write(path, f'list stolen block card from "{name.format(outside=outside)}"')
    with pytest.raises(RuleError, match="cannot be read: expected a UTF-8 text beside the rule file") as caught:
        read_rules(path, vocabulary())
    assert "hunter2" not in str(caught.value)


def test_list_file_in_a_folder_beside_the_rules_is_read(path: Path) -> None:
    (path.parent / "lists").mkdir()
    (path.parent / "lists" / "stolen.txt").write_text("C1\n")
    write(path, 'list stolen block card from "lists/stolen.txt"')
    assert len(read_rules(path, vocabulary()).lists) == 1


def test_changed_rules_are_compiled_beside_the_payments(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While they are, those in use decide, and nobody waits; a second change is found afterwards."""
    write(path, REVIEW)
    rules, going = rule_book(changed(ServiceSettings(), "rules", file=str(path))), Event()
    assert isinstance(rules, ReloadingRules)
    compiled = Reading.compiled

    def slow(reading: Reading, words: Vocabulary) -> RuleSet:
        assert going.wait(60)
        return compiled(reading, words)

    monkeypatch.setattr(Reading, "compiled", slow)
    write(path, DECLINE)
    for _ in range(5):
        assert not rules.refresh()
        assert action(rules) is Action.REVIEW
    going.set()
    until(rules.refresh, "the change taken up")
    assert (rules.taken, action(rules)) == (1, Action.DECLINE)


def test_error_that_nobody_foresaw_is_raised_by_who_looks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, REVIEW)
    rules = ReloadingRules(path, vocabulary(), beside=True)
    monkeypatch.setattr(Reading, "compiled", lambda *given: 1 // 0)
    write(path, DECLINE)

    def looks() -> bool:
        try:
            return rules.refresh()
        except ZeroDivisionError:
            return True

    until(looks, "the error raised")
