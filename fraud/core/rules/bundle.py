"""A rule file and its list files as one text: what is kept of them, what their version is a hash of."""

import hashlib
from collections.abc import Mapping

from fraud.core.errors import RuleError

END = "\0"
"""Stands between the parts; no rule file has one in it."""
DIGITS = 12


def bundled(text: str, files: Mapping[str, str]) -> str:
    """Return rules and the list files that they read, by name, as one text."""
    return END.join([text, *(f"{name}\n{lines}" for name, lines in sorted(files.items()))])


def parted(bundle: str) -> tuple[str, dict[str, str]]:
    r"""Return the rules of a bundle, and its list files by name.

    >>> parted(bundled("list a block card from \"a.txt\"", {"a.txt": "C1"}))
    ('list a block card from "a.txt"', {'a.txt': 'C1'})
    """
    text, *files = bundle.split(END)
    named = (file.partition("\n") for file in files)
    return text, {name: lines for name, _, lines in named}


def need_bundle(text: str, files: Mapping[str, str]) -> str:
    """Return rules and list files as one text; raise RuleError where they could not be told apart again."""
    for name, part in {"the rules": text, **files}.items():
        if END in part:
            msg = f"{name}: a NUL character stands at place {part.index(END)}: take it out, no rule needs one"
            raise RuleError(msg)
    return bundled(text, files)


def text_hash(text: str) -> str:
    """Return the name that a text goes by: the first hexadecimal digits of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
