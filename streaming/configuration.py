"""Where settings come from: a TOML file, the environment, and what a command line says; and what they mean here."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from fraud.core.errors import SettingsError
from fraud.core.settings import Settings, load
from streaming.messages.money import Rates
from streaming.settings import ServiceSettings

S = TypeVar("S", bound=Settings)

FILE = Path("fraud.toml")
"""Read when it lies in the current folder and no other file is named."""


def read(path: Path | None = None, env: Mapping[str, str] | None = None) -> ServiceSettings:
    """Return the settings of a file, overridden by the environment.

    Without a path it is `fraud.toml` of the current folder where there is one, otherwise the defaults.

    Raises:
        SettingsError: when the named file does not exist, or something in it or in the environment is wrong.
    """
    if path is None and FILE.exists():
        path = FILE
    try:
        text = path.read_text() if path is not None else ""
    except OSError as error:
        msg = f"settings file {path} cannot be read ({error.strerror}): see 'fraud settings' for what may stand in one"
        raise SettingsError(msg) from error
    return load(text, os.environ if env is None else env, ServiceSettings)


def changed(settings: S, section: str, **values: object) -> S:
    """Return the settings with some values of a section changed; None leaves a value as it is, a path becomes text."""
    given = {
        key: str(value) if isinstance(value, Path) else value for key, value in values.items() if value is not None
    }
    return msgspec.structs.replace(settings, **{section: msgspec.structs.replace(getattr(settings, section), **given)})


def rates(settings: Settings) -> Rates:
    """Return the currencies as the decoders use them."""
    money = settings.money
    return Rates(money.base, {code: str(rate) for code, rate in money.rates.items()}, money.digits, money.max_amount)


def fingerprint(settings: Settings) -> str:
    """Return a hash of the settings that features depend on: currencies, lateness, deadlines."""
    parts = settings.money, settings.lateness, settings.labels
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
