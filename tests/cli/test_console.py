"""`fraud console` where its libraries are not all there: a user who installed the package without its extra."""

import re
from importlib.metadata import packages_distributions, requires
from importlib.util import find_spec

import pytest

from fraud.cli import console, main
from fraud.cli.console import LIBRARIES


@pytest.mark.parametrize("library", LIBRARIES)
def test_console_without_one_of_its_libraries_names_it(
    library: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "find_spec", lambda name: None if name == library else find_spec(name))
    monkeypatch.setattr("sys.argv", ["fraud", "console", "migrate"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert f"error: the console needs {library}: install the extra 'console'" in capsys.readouterr().err


def test_libraries_looked_for_are_those_of_the_extra() -> None:
    named = {re.split(r"[<>=;\[ ]", line)[0] for line in requires("fraud") or () if "extra == 'console'" in line}
    of_the_feed = {"crc32c", "hiredis", "kafka-python", "lz4", "python-snappy", "redis", "zstandard"}
    looked_for = {name.lower() for library in LIBRARIES for name in packages_distributions()[library]}
    assert looked_for - {"cryptography"} == named - of_the_feed
