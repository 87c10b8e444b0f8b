"""Model artifacts on disk: weights as plain arrays and a JSON card that says what they are; no pickled classes.

Layout: `ROOT/NAME/VERSION/weights.safetensors`, `ROOT/NAME/VERSION/card.json` and `ROOT/NAME/current`, whose first line
is the version in use; the lines below tell which was made current when and how. A version is a hash of the whole card,
which has that of the weights; it is never overwritten, and kept until somebody removes it. A version appears by one
rename, and `current` changes by one rename, so a reader never meets half an artifact.

Artifacts of format 1 (`weights.npz`) and 2 are still read. Their versions cover kind, features, encoder and weights, of
the card no more; those that come with the project are known by the hash of their cards. `signatures.py` is for whoever
wants to know an artifact as somebody's own.
"""

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from fraud.common.files import SUFFIX, atomic_folder, write_atomic
from fraud.common.locks import locked
from fraud.core.errors import ArtifactError, nearest
from fraud.core.records import DAY, HOUR, MINUTE
from models.rules_only import NAME as RULES

FORMAT, FORMATS, COVERED = 3, (1, 2, 3), 3
"""The format that is written, those that are read, and the first one whose version covers the whole card."""
CARD, WEIGHTS, OLD_WEIGHTS, CURRENT = "card.json", "weights.safetensors", "weights.npz", "current"
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
KINDS_OF_NUMBERS = "?bBhHiIlLqQefd"
"""numpy type characters that safetensors holds."""
KEPT_MOVES = 200
SHIPPED = {
    "60ab89d9fa6b": "775b3bdc217f3604b67a75e983bff0be6b379d459b3a535890ea4e10e313c9e9",  # demo
    "da1d903a2173": "64024ea111ccfbf9fafd7396b3cc9a6279c10c68b403b49f462adc1b467b219a",  # demo-blend
    "75cd7cea07bd": "d94d3be74623c743b0ac86b868748acacf8b5c867121f3ad394f2909fe35d474",  # demo-young
}
"""Cards of the formats before that come with the project: the SHA-256 of their content, by version."""

Arrays = dict[str, NDArray[np.generic]]


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an artifact says of itself. Times and delays are nanoseconds; `created` is told by the caller.

    `version` and `weights_sha256` are filled in by `save`. `metrics` holds None where a measure has no meaning;
    `metrics_by_model` the same for each part of a blend. `encoder` is the version of the network's block encoder, `""`
    without one; `architecture` fixes the network's shape; `exits` names the exits, first one first, with the threshold
    below which a payment leaves there (the last has none). Labels came within `label_delay` (1 +- `label_spread`).
    `until` is when the last payment was made that it was fitted or chosen on, 0 where the card does not say. `gate` is
    by which settings labels were held back meanwhile, empty for none. `attrs` are the own columns that it reads beside
    the features of the release, their kind or expression by name, `words` those of its categories that have a code of
    their own; both unset without any.
    """

    kind: str
    name: str
    created: int
    data_hash: str
    spec_version: str
    features: tuple[str, ...]
    label_delay: int
    label_spread: float = 0.0
    until: int = 0
    gate: dict[str, Any] = {}
    seed: int
    metrics: dict[str, float | None] = {}
    metrics_by_model: dict[str, dict[str, float | None]] = {}
    thresholds: dict[str, float] = {}
    exits: dict[str, float | None] = {}
    encoder: str = ""
    architecture: dict[str, Any] = {}
    attrs: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    words: dict[str, tuple[str, ...]] | msgspec.UnsetType = msgspec.UNSET
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


class Move(msgspec.Struct, frozen=True):
    """One change of the version in use: when (ns UTC, 0 where it is not known), how, and to which version."""

    at: int
    how: str
    version: str


def save(root: Path, draft: Card, arrays: Mapping[str, NDArray[np.generic]], *, use: bool = True) -> Card:
    """Write an artifact and return its card, with version and checksum; with `use` it becomes the one in use.

    Saving the same card and arrays again changes nothing. Raises ArtifactError for a name that is not allowed or
    reserved, or for an array that is not of plain numbers.
    """
    require_name(draft.name)
    weights = pack(arrays)
    card = msgspec.structs.replace(draft, weights_sha256=hashlib.sha256(weights).hexdigest(), version="", format=FORMAT)
    card = msgspec.structs.replace(card, version=version_of(msgspec.json.encode(card)))
    _write_version(root / card.name / card.version, card, weights)
    if use:
        promote(root, card.name, card.version, card.created, how="train")
    return card


def load(
    root: Path, name: str, *, spec_version: str | None = None, version: str | None = None,
    attrs: Mapping[str, str] | None = None,
) -> Artifact:  # fmt: skip
    """Return the artifact in use under `name`, or the given version of it.

    Raises ArtifactError when there is none, when card and weights do not belong together, when the format is newer
    than this release, or when it was trained on another feature spec than `spec_version`, which has the own columns
    `attrs`.
    """
    card, arrays = _read(folder_of(root, name, version))
    own, here = own_columns(card), dict(attrs or {})
    if spec_version is not None and own != here:
        message = (
            f"Model '{card.name}' {card.version} was trained on {listed(own)}, here there are "
            f"{listed(here)}. Declare the same ([attrs] of the settings, or of the mapping), or train it again."
        )
        raise ArtifactError(message)
    if spec_version is not None and card.spec_version != spec_version:
        message = (
            f"Model '{card.name}' {card.version} was trained on feature spec {card.spec_version}, this release "
            f"computes {spec_version}. Train it again: fraud train --name {card.name} ..."
        )
        raise ArtifactError(message)
    return Artifact(card, arrays)


def own_columns(card: Card) -> dict[str, str]:
    """Return the own columns that a model reads, their kind or expression by name."""
    return {} if isinstance(card.attrs, msgspec.UnsetType) else card.attrs


def listed(attrs: Mapping[str, str]) -> str:
    """Return own columns in words."""
    return f"own columns {', '.join(f'{name} ({text})' for name, text in attrs.items())}" if attrs else "no own columns"


def card_of(root: Path, name: str, version: str | None = None) -> Card:
    """Return the card of an artifact whose weights match their checksum."""
    return _read(folder_of(root, name, version))[0]


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
    return sorted(path.parent.name for path in (root / name).glob(f"*/{CARD}") if path.parent.suffix != SUFFIX)


def delay_warning(card: Card, delay: int | None) -> str:
    """Return what is wrong with serving a model where verdicts take `delay` (ns, None: there are none); `""`: nothing.

    How old a verdict is when it is known decides what a model learns to expect, so each label delay wants its own; one
    that was trained with a spread has seen all delays within it.
    """
    now = -1 if delay is None else delay
    if card.label_delay == now or (now > 0 and abs(now - card.label_delay) <= card.label_spread * card.label_delay):
        return ""
    return (
        f"model '{card.name}' {card.version} was trained with labels {said(card.label_delay)}, here they come "
        f"{said(now)}: its scores may be off. Train one for this delay: fraud train --label-delay ..."
    )


def said(delay: int) -> str:
    """Return a label delay (ns, below 0: no labels) in words."""
    if delay < 0:
        return "never"
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        if delay and delay % unit == 0:
            return f"{delay // unit}{name} late"
    return f"{delay / 1e9:g}s late"


# --- the version in use ----------------------------------------------------------------------------------------------


def require_known(root: Path, name: str) -> None:
    """Raise ArtifactError unless artifacts are kept under `name`."""
    if not versions(root, name):
        folder_of(root, name, None)


def promote(root: Path, name: str, version: str, at: int, how: str = "promote") -> None:
    """Make a kept version the one in use, from `at` (ns UTC); raise ArtifactError when it is not kept."""
    if version not in (kept := versions(root, name)):
        message = f"Model '{name}' has no version '{version}'; kept are: {', '.join(kept) or 'none'}."
        raise ArtifactError(message + nearest(version, kept))
    with locked(root / name):
        moves = history(root, name)
        if not moves or moves[-1].version != version:
            _write_moves(root / name, [*moves, Move(at, how, version)])


def rollback(root: Path, name: str, at: int) -> str:
    """Make the version current that was before the one in use, and return it; a second call goes one further back.

    Raises ArtifactError when there was none, or it is no longer kept.
    """
    folder_of(root, name, None)
    with locked(root / name):
        moves = history(root, name)
        line = before(moves)
        if not line:
            message = f"Model '{name}' had no other version in use before {moves[-1].version}; see: fraud models list."
            raise ArtifactError(message)
        if line[-1] not in (kept := versions(root, name)):
            message = f"Version '{line[-1]}' of model '{name}' is no longer kept; kept are: {', '.join(kept)}."
            raise ArtifactError(message + " Choose one: fraud models promote NAME VERSION.")
        _write_moves(root / name, [*moves, Move(at, "rollback", line[-1])])
    return line[-1]


def history(root: Path, name: str) -> list[Move]:
    """Return what was current under a name, oldest first; the last one is in use."""
    try:
        first, *rest = (root / name / CURRENT).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    moves = [Move(int(at), how, version) for at, how, version in (line.split() for line in rest)]
    return moves or [Move(0, "train", first.strip())]


def before(moves: list[Move]) -> list[str]:
    """Return the versions that a rollback can go back to, nearest last."""
    line: list[str] = []
    for move in moves:
        if move.how == "rollback" and line:
            line.pop()
        if line[-1:] != [move.version]:
            line.append(move.version)
    return line[:-1]


def _write_moves(folder: Path, moves: list[Move]) -> None:
    lines = [f"{move.at} {move.how} {move.version}" for move in moves[-KEPT_MOVES:]]
    write_atomic(folder / CURRENT, "\n".join([moves[-1].version, *lines, ""]).encode(), private=False)


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


# --- what is in a version --------------------------------------------------------------------------------------------


def pack(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return arrays as the bytes of a safetensors file; the same arrays always give the same bytes.

    Raises ArtifactError for an array that is not of plain numbers.
    """
    for name, array in arrays.items():
        if array.dtype.char not in KINDS_OF_NUMBERS:
            message = f"Array '{name}' is of type {array.dtype}, an artifact holds plain numbers only."
            raise ArtifactError(message)
    return safetensors.numpy.save({name: np.asarray(array, order="C") for name, array in sorted(arrays.items())})


def unpack(weights: bytes) -> Arrays:
    """Return the arrays of a safetensors file; raises ArtifactError when it is none."""
    try:
        return dict(safetensors.numpy.load(weights))
    except SafetensorError as error:
        message = f"The weights cannot be read ({error}); restore them from a backup or train again."
        raise ArtifactError(message) from error


def unpack_npz(weights: bytes) -> Arrays:
    """Return the arrays of an .npz file, as format 1 kept them; objects are refused."""
    with np.load(io.BytesIO(weights), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def version_of(card: bytes) -> str:
    """Return the version that a card's file is to have: a hash of all that stands in it but the version itself."""
    return _digest({**_content(card), "version": ""})[:12]


def _content(card: bytes) -> dict[str, Any]:
    return msgspec.json.decode(card, type=dict[str, Any])


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


def _version_before(card: Card) -> str:
    """Return the version of a card as formats 1 and 2 had it."""
    encoder = (card.encoder,) if card.encoder else ()
    parts = card.kind, card.spec_version, *card.features, card.weights_sha256, *encoder
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _write_version(folder: Path, card: Card, weights: bytes) -> None:
    if folder.exists():
        return
    with atomic_folder(folder) as draft:
        (draft / WEIGHTS).write_bytes(weights)
        (draft / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")


def folder_of(root: Path, name: str, version: str | None = None) -> Path:
    """Return where a version of an artifact lies, the one in use unless told; raise ArtifactError for none."""
    known, kept = names(root), versions(root, name)
    if name not in known and kept and version is None:
        message = (
            f"Model '{name}' has {len(kept)} versions, none of them is in use: fraud models promote {name} {kept[-1]}"
        )
        raise ArtifactError(message)
    if name not in known and not kept:
        have = f"There are: {', '.join(known)}." if known else "There is none yet: fraud train makes one."
        message = f"No model is named '{name}' under {root}. {have} '--model {RULES}' always works."
        raise ArtifactError(message + nearest(name, known))
    chosen = version or _current(root, name)
    if chosen not in versions(root, name):
        message = f"Model '{name}' has no version '{chosen}'; see: fraud models list."
        raise ArtifactError(message)
    return root / name / chosen


def _current(root: Path, name: str) -> str:
    return history(root, name)[-1].version


def _read(folder: Path) -> tuple[Card, Arrays]:
    card = _read_card(folder)
    path = folder / (WEIGHTS if card.format > 1 else OLD_WEIGHTS)
    try:
        weights = path.read_bytes()
    except FileNotFoundError as error:
        message = f"{path} is missing; restore the folder from a backup or train again."
        raise ArtifactError(message) from error
    if (actual := hashlib.sha256(weights).hexdigest()) != card.weights_sha256:
        message = (
            f"{path} has sha256 {actual[:12]}..., its card says {card.weights_sha256[:12]}...; the file "
            "was damaged or replaced. Restore both from a backup or train again."
        )
        raise ArtifactError(message)
    return card, unpack(weights) if card.format > 1 else unpack_npz(weights)


def _read_card(folder: Path) -> Card:
    path = folder / CARD
    try:
        content = path.read_bytes()
        _require_format(path, content)
        card = msgspec.json.decode(content, type=Card)
    except (msgspec.DecodeError, OSError) as error:
        message = f"{path} cannot be read as a model card ({error}); restore it from a backup or train again."
        raise ArtifactError(message) from error
    _require_whole(path, card, content)
    return card


def _require_whole(path: Path, card: Card, content: bytes) -> None:
    """Refuse a card that is not the one that was written, as far as its format says so, or lies in another's place."""
    place = path.parent.parent.name, path.parent.name
    if (card.name, card.version) != place:
        message = f"{path} is the card of {card.name}@{card.version}, not of {'@'.join(place)}; put it where it was."
        raise ArtifactError(message)
    if card.format >= COVERED:
        edited = version_of(content) != card.version
    else:
        known = SHIPPED.get(card.version)
        edited = _version_before(card) != card.version or known not in (None, _digest(_content(content)))
    if edited:
        message = f"{path} was edited: its version is not that of its content; restore it from a backup or train again."
        raise ArtifactError(message)


def _require_format(path: Path, content: bytes) -> None:
    """Refuse a newer layout before reading fields that this release does not know."""
    version = msgspec.json.decode(content, type=dict[str, Any]).get("format")
    if version not in FORMATS:
        message = f"{path} has artifact format {version}, this release reads {FORMATS}; update, or train again."
        raise ArtifactError(message)
