"""The short form of `make selftest`: every planted fault fits the sources, and the crash test catches one of them."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from tests.crash.selftest import BY_NAME, FAULTS, Edit, Fault, Place, copied, judge, planted, replaced
from tests.tree import ROOT


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_planted_fault_fits_the_sources_of_today(fault: Fault) -> None:
    texts = defaultdict[str, str](str)
    for edit in fault.edits:
        texts[edit.file] = replaced(texts[edit.file] or (ROOT / edit.file).read_text(), edit)
    for file, text in texts.items():
        ast.parse(text, file)


def test_a_fault_that_no_longer_fits_is_told_and_a_copy_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one = 1\n")
    fits = Edit("a.py", "1", "2")
    with planted(tmp_path, Fault("f", "", (fits,))):
        assert (tmp_path / "a.py").read_text() == "one = 2\n"
    gone = Fault("g", "", (fits, Edit("a.py", "three", "3")))
    with pytest.raises(ValueError, match=r"a\.py holds 'three' 0 times"), planted(tmp_path, gone):
        pass
    assert (tmp_path / "a.py").read_text() == "one = 1\n"


def test_the_crash_test_catches_marks_that_mean_nothing_to_the_next_process(
    kafka: str, redis_url: str, tmp_path: Path
) -> None:
    place = Place(copied(tmp_path / "tree"), kafka, redis_url, tmp_path)
    found = judge(place, 1, BY_NAME["marks-unknown"], 7, ("after-write",))
    assert found.get("state_differs", 0) > 0, found
    assert (found.get("lost", 0), found.get("verdicts_differ", 0)) == (0, 0), found
