"""Model artifacts on disk: weights as plain arrays and a JSON card that says what they are; no pickled classes.

Layout: `ROOT/NAME/VERSION/weights.npz`, `ROOT/NAME/VERSION/card.json` and `ROOT/NAME/current`, a file that holds the
version in use. Versions are a hash of the content, are never overwritten, and are kept until somebody removes them.
A version appears by one rename, and `current` moves by one rename, so a reader never meets half an artifact.
"""

import hashlib
import io
import os
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import ArtifactError, nearest
from models.rules_only import NAME as RULES

FORMAT = 1
CARD, WEIGHTS, CURRENT = "card.json", "weights.npz", "current"
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

Arrays = dict[str, NDArray[np.generic]]


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an artifact says of itself. Times and delays are nanoseconds; `created` is told by the caller.

    `version` and `weights_sha256` are filled in by `save`. `metrics` holds None where a measure has no meaning.
    """

    kind: str
    name: str
    created: int
    data_hash: str
    spec_version: str
    features: tuple[str, ...]
    label_delay: int
    seed: int
    metrics: dict[str, float | None] = {}
    thresholds: dict[str, float] = {}
    settings: dict[str, Any] = {}
    libraries: dict[str, str] = {}
    format: int = FORMAT
    version: str = ""
    weights_sha256: str = ""


class Artifact(msgspec.Struct, frozen=True):
    """A card with its weights, checked against each other."""

    card: Card
    arrays: Arrays


class Found(msgspec.Struct, frozen=True):
    """One line of a listing: an artifact's card and whether it is the version in use."""

    card: Card
    current: bool


def save(root: Path, draft: Card, arrays: Mapping[str, NDArray[np.generic]], *, promote: bool = True) -> Card:
    """Write an artifact and return its card, with version and checksum; with `promote` it becomes the one in use.

    Saving the same content again changes nothing. Raises ArtifactError for a name that is not allowed or reserved.
    """
    require_name(draft.name)
    weights = pack(arrays)
    checksum = hashlib.sha256(weights).hexdigest()
    card = msgspec.structs.replace(draft, weights_sha256=checksum, version=_version(draft, checksum))
    _write_version(root / card.name / card.version, card, weights)
    if promote:
        point(root, card.name, card.version)
    return card


def load(root: Path, name: str, *, spec_version: str | None = None, version: str | None = None) -> Artifact:
    """Return the artifact in use under `name`, or the given version of it.

    Raises ArtifactError when there is none, when card and weights do not belong together, when the format is newer
    than this release, or when it was trained on another feature spec than `spec_version`.
    """
    card, weights = _read(_folder(root, name, version))
    if spec_version is not None and card.spec_version != spec_version:
        message = (
            f"Model '{card.name}' {card.version} was trained on feature spec {card.spec_version}, this release "
            f"computes {spec_version}. Train it again: fraud train --name {card.name} ..."
        )
        raise ArtifactError(message)
    return Artifact(card, unpack(weights))


def card_of(root: Path, name: str, version: str | None = None) -> Card:
    """Return the card of an artifact whose weights match their checksum."""
    return _read(_folder(root, name, version))[0]


def found(root: Path) -> list[Found]:
    """Return every artifact under `root`, by name, then oldest first; damaged ones raise ArtifactError."""
    lines = []
    for name in names(root):
        now = _current(root, name)
        cards = sorted(
            (_read_card(root / name / v) for v in versions(root, name)), key=lambda c: (c.created, c.version)
        )
        lines += [Found(card, current=card.version == now) for card in cards]
    return lines


def names(root: Path) -> list[str]:
    """Return the names under which artifacts are kept."""
    return sorted(path.parent.name for path in root.glob(f"*/{CURRENT}"))


def versions(root: Path, name: str) -> list[str]:
    """Return the versions kept under a name."""
    return sorted(path.parent.name for path in (root / name).glob(f"*/{CARD}") if path.parent.suffix != ".new")


def point(root: Path, name: str, version: str) -> None:
    """Make a kept version the one in use; raise ArtifactError when it is not kept."""
    if version not in (kept := versions(root, name)):
        message = f"Model '{name}' has no version '{version}'; kept are: {', '.join(kept) or 'none'}."
        raise ArtifactError(message + nearest(version, kept))
    draft = root / name / f"{CURRENT}.new"
    draft.write_text(version + "\n", encoding="utf-8")
    draft.replace(root / name / CURRENT)


def require_name(name: str) -> None:
    """Raise ArtifactError unless `name` can name a folder and is not reserved."""
    if name == RULES:
        message = f"The name '{RULES}' is taken by the scorer that needs no artifact; choose another --name."
        raise ArtifactError(message)
    if not NAME_PATTERN.fullmatch(name):
        message = (
            f"'{name}' cannot name a model: use 1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a letter "
            "or a digit."
        )
        raise ArtifactError(message)


def pack(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return arrays as the bytes of an .npz file; the same arrays always give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(arrays[name]), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def unpack(weights: bytes) -> Arrays:
    """Return the arrays of an .npz file; objects are refused."""
    with np.load(io.BytesIO(weights), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _version(draft: Card, checksum: str) -> str:
    identity = "\0".join((draft.kind, draft.spec_version, *draft.features, checksum))
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def _write_version(folder: Path, card: Card, weights: bytes) -> None:
    if folder.exists():
        return
    draft = folder.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    _write_durably(draft / WEIGHTS, weights)
    _write_durably(draft / CARD, msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    draft.replace(folder)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _folder(root: Path, name: str, version: str | None) -> Path:
    known = names(root)
    if name not in known:
        have = f"There are: {', '.join(known)}." if known else "There is none yet: fraud train makes one."
        message = f"No model is named '{name}' under {root}. {have} '--model {RULES}' always works."
        raise ArtifactError(message + nearest(name, known))
    chosen = version or _current(root, name)
    if chosen not in versions(root, name):
        message = f"Model '{name}' has no version '{chosen}'; see: fraud models list."
        raise ArtifactError(message)
    return root / name / chosen


def _current(root: Path, name: str) -> str:
    return (root / name / CURRENT).read_text(encoding="utf-8").strip()


def _read(folder: Path) -> tuple[Card, bytes]:
    card = _read_card(folder)
    try:
        weights = (folder / WEIGHTS).read_bytes()
    except FileNotFoundError as error:
        message = f"{folder / WEIGHTS} is missing; restore the folder from a backup or train again."
        raise ArtifactError(message) from error
    if (actual := hashlib.sha256(weights).hexdigest()) != card.weights_sha256:
        message = (
            f"{folder / WEIGHTS} has sha256 {actual[:12]}..., its card says {card.weights_sha256[:12]}...; the file "
            "was damaged or replaced. Restore both from a backup or train again."
        )
        raise ArtifactError(message)
    if _version(card, card.weights_sha256) != card.version:
        message = f"{folder / CARD} was edited: its kind, spec or features are not those that were trained."
        raise ArtifactError(message)
    return card, weights


def _read_card(folder: Path) -> Card:
    path = folder / CARD
    try:
        content = path.read_bytes()
        _require_format(path, content)
        return msgspec.json.decode(content, type=Card)
    except (msgspec.DecodeError, OSError) as error:
        message = f"{path} cannot be read as a model card ({error}); restore it from a backup or train again."
        raise ArtifactError(message) from error


def _require_format(path: Path, content: bytes) -> None:
    """Refuse a newer layout before reading fields that this release does not know."""
    version = msgspec.json.decode(content, type=dict[str, Any]).get("format")
    if version != FORMAT:
        message = f"{path} has artifact format {version}, this release reads {FORMAT}; update, or train again."
        raise ArtifactError(message)
