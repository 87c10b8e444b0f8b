"""The page of faults found by attack names tests that are there."""

import re

from tests.tree import ROOT

PAGE = ROOT / "docs/faults.md"
TEXTS: dict[str, str] = {}
"""The tests by the names of their files; some files have one name."""
for path in (ROOT / "tests").rglob("test_*.py"):
    TEXTS[path.name] = TEXTS.get(path.name, "") + path.read_text()


def missing(page: str) -> list[str]:
    """Return the test files, and the tests in them, that a page names and that are not there."""
    gone = []
    for row in (line for line in page.splitlines() if line.startswith("| ")):
        file = ""
        for word in re.findall(r"`([\w/]+(?:\.py)?)`", row.rpartition(" | ")[2]):
            if word.endswith(".py"):
                file = word.rpartition("/")[2]
                gone += [] if file in TEXTS else [word]
            elif file and f"def test_{word}(" not in TEXTS.get(file, ""):
                gone.append(f"{file}: {word}")
    return gone


def test_tests_that_the_page_names_exist() -> None:
    assert missing(PAGE.read_text()) == []


def test_every_fault_that_was_found_has_a_row_with_its_kind_and_a_test() -> None:
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if re.match(r"\| \d+ \|", line)]
    assert {int(row[0].strip("| ")) for row in rows} == set(range(1, 21))
    assert [row for row in rows if len(row) != 5 or not row[1].strip() or "test_" not in row[4]] == []


def test_check_reports_a_file_and_a_test_that_are_gone() -> None:
    page = "| 1 | what | now | `test_faults_page.py`: `tests_that_the_page_names_exist`, `nosuch`; `test_gone.py` |"
    assert missing(page) == ["test_faults_page.py: nosuch", "test_gone.py"]
