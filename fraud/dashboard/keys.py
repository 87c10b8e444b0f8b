"""The console's keys: in a folder of their owner alone, made at the first start, never in the database."""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from fraud.common.files import new_private, read_private
from fraud.review.audit import KEY_BYTES, key_of

AUDIT = "audit.key"


def audit_key(folder: Path, *, make: bool = True) -> bytes:
    """Return the key of the audit log; `make` it where there is none.

    Raises:
        SettingsError: it is missing, cannot be written or read, is no key, or others may read it.
    """
    path = folder / AUDIT
    if make:
        _made(path)
    return key_of(read_private(path, "the audit key", "name its folder with console.keys"))


def code_key(audit: bytes) -> bytes:
    """Return the key that codes of second factors are made with: of the audit's, so that there is one key to keep."""
    return hmac.new(audit, b"second factors", hashlib.sha256).digest()


def _made(path: Path) -> None:
    """Write a new key unless there is one; of two processes that start at once one writes, both read the same."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    new_private(draft, secrets.token_hex(KEY_BYTES), "the audit key")
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
