"""Lines and records of text files: each line is in one record, and finding the records takes no time."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.files.values.lines import Lines, records


def test_lines_that_are_in_no_record_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a\nb\nc\n")
    with path.open("rb") as file:
        lines = Lines(file, "a")
        assert list(lines.place(line for line in lines if line != b"b\n")) == [b"a\n", b"c\n"]
        with pytest.raises(AssertionError, match="3 lines were read, 2 are in records"):
            lines.checked("a")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([b'"', b"a", b",", b"\n", b'""', b'",', b',"', b"a,b"]), max_size=60))
def test_records_hold_every_line_once(parts: list[bytes]) -> None:
    lines = [each + b"\n" for each in b"".join(parts).split(b"\n") if each.strip()]
    assert b"".join(records(lines, ",", 2)) == b"".join(lines)


@pytest.mark.parametrize("open_field", ['"' + "a" * 50_000, '"' + '""' * 25_000, '"a' + '","' * 9_000 + '"x'])
def test_long_line_with_an_open_quote_takes_no_time(open_field: str) -> None:
    lines = [f"{open_field}\n".encode(), b"a,b\n"]
    assert list(records(lines, ",", 2)) == lines
