"""The audit log's key: made once, for its owner alone."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fraud.core.errors import SettingsError
from fraud.dashboard.keys import AUDIT, audit_key


def test_key_is_made_at_the_first_start_for_its_owner_alone_and_stays(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    key = audit_key(folder)
    assert len(key) == 32
    assert (folder / AUDIT).stat().st_mode & 0o777 == 0o600
    assert audit_key(folder) == key
    assert [path.name for path in folder.iterdir()] == [AUDIT]


def test_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(audit_key, [tmp_path] * 8))) == 1


def test_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    audit_key(tmp_path)
    (tmp_path / AUDIT).chmod(0o640)
    with pytest.raises(SettingsError, match="mode 640"):
        audit_key(tmp_path)


def test_key_that_is_missing_is_not_made_for_a_check(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        audit_key(tmp_path, make=False)
    (tmp_path / AUDIT).write_text("no key")
    (tmp_path / AUDIT).chmod(0o600)
    with pytest.raises(SettingsError, match="hexadecimal"):
        audit_key(tmp_path)
