"""Settings of a fit: defaults, `--quick`, the `[train]` tables of a settings file, `--set`, the seed, in that order.

    [train.booster]
    trees = 400

    [train.network]
    epochs = 8
    labels = false

Torch is imported only when a network is asked for, so that a booster is fitted where torch is not installed.
"""

import tomllib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from fraud.core.errors import SettingsError, nearest
from fraud.training.booster import BoosterSettings

if TYPE_CHECKING:
    from fraud.training.blend import BlendSettings

BOOSTER, NETWORK, BLEND = "booster", "network", "blend"
KINDS = (BOOSTER, NETWORK, BLEND)
PARTS = (BOOSTER, NETWORK)
QUICK: dict[str, dict[str, Any]] = {
    BOOSTER: {"trees": 60, "learning_rate": 0.15, "patience": 10, "most_step": 1.0},
    NETWORK: {
        "epochs": 2,
        "easy_share": 0.01,
        "middle_share": 0.08,
        "hard_share": 0.3,
        "columns": 40,
        "encoder_steps": 30,
        "least_rows": 3_000,
    },
}
"""A first look: few, fast-learning trees; two short epochs, few steps of the encoder."""

Tables = Mapping[str, Mapping[str, Any]]
S = TypeVar("S", bound=msgspec.Struct)


def of_kind(
    kind: str, seed: int, *, quick: bool = False, tables: Tables | None = None
) -> "BoosterSettings | BlendSettings":
    """Return the settings of what is fitted for a kind; raise SettingsError for a key or value that cannot be."""
    return (booster if kind == BOOSTER else blend)(seed, quick=quick, tables=tables)


def booster(seed: int, *, quick: bool = False, tables: Tables | None = None) -> BoosterSettings:
    """Return the booster's settings; raise SettingsError for a key or value that cannot be."""
    return _part(BOOSTER, BoosterSettings, seed, quick, tables)


def blend(seed: int, *, quick: bool = False, tables: Tables | None = None) -> "BlendSettings":
    """Return the settings of both parts; raise SettingsError for a key or value that cannot be."""
    from fraud.training.blend import BlendSettings
    from fraud.training.network import NetworkSettings

    return BlendSettings(
        booster=booster(seed, quick=quick, tables=tables),
        network=_part(NETWORK, NetworkSettings, seed, quick, tables),
    )


def booster_of(settings: "BoosterSettings | BlendSettings") -> BoosterSettings:
    """Return the booster's settings."""
    return settings if isinstance(settings, BoosterSettings) else settings.booster


def reseeded(settings: "BoosterSettings | BlendSettings", seed: int) -> "BoosterSettings | BlendSettings":
    """Return the same settings under another seed, in every part."""
    if isinstance(settings, BoosterSettings):
        return msgspec.structs.replace(settings, seed=seed)
    parts = {part: msgspec.structs.replace(getattr(settings, part), seed=seed) for part in PARTS}
    return msgspec.structs.replace(settings, **parts)


def tables_of(section: msgspec.Struct) -> dict[str, dict[str, Any]]:
    """Return the [train] section of the settings as tables by part."""
    return {part: dict(getattr(section, part)) for part in PARTS}


def merged(tables: Tables, assignments: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return tables with `part.key=value` assignments put over them; values are written as in TOML.

    Raises SettingsError for a part that does not exist or an assignment that cannot be read.
    """
    made = {part: dict(values) for part, values in tables.items()}
    for one in assignments:
        place, equals, value = one.partition("=")
        part, dot, key = place.strip().partition(".")
        if not (equals and dot and key):
            message = f"--set {one}: expected PART.KEY=VALUE such as network.labels=false."
            raise SettingsError(message)
        made.setdefault(part, {})[key] = _value(value.strip())
    for part in made:
        if part not in PARTS:
            message = f"[train] has no part '{part}': expected {' or '.join(PARTS)}.{nearest(part, PARTS)}"
            raise SettingsError(message)
    return made


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _part(part: str, kind: type[S], seed: int, quick: bool, tables: Tables | None) -> S:
    given = {**(QUICK[part] if quick else {}), **(tables or {}).get(part, {}), "seed": seed}
    known = kind.__struct_fields__
    for key in given:
        if key not in known:
            message = f"[train.{part}] has no key '{key}'.{nearest(key, known)}"
            raise SettingsError(message)
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        message = f"[train.{part}]: {error}"
        raise SettingsError(message) from error
