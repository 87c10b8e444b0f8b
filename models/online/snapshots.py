"""What a learner publishes: snapshots of its parameters, which of them is live, and what happened. JSON, no pickle.

On the topic `model-updates` a record's key says what it is: `snapshot/VERSION`, `live/BASE`, `event/SEQ`, `held/BASE`,
BASE being a model as decisions name it, `NAME@VERSION`.
"""

import hashlib
import math
from typing import Any, TypeVar

import msgspec
import numpy as np

from fraud.core.errors import ArtifactError
from fraud.core.learning.mixture import EXPERTS
from models.online.parameters import Parameters

SNAPSHOT, LIVE, EVENT, HELD = "snapshot/", "live/", "event/", "held/"
"""What the keys begin with."""
SHORT = 8
MOST_BYTES, BESIDE = 1_000_000, 16_384
"""What a record may take, somewhat less than a message; and what it takes beside the changes, at most."""
SUM_TOLERANCE = 1e-6
PACES = len(EXPERTS) - 1


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Learned parameters with all that is to be known of them; `checksum` covers everything but `positions`.

    `version` is SEQ and the checksum's beginning; `base` and `spec` are what it was learned on, `parent` the version
    before. `since` is when learning on this base began, `at` the end of the period that it was made of, `watermark` how
    far the payments it was learned of reach, UTC ns each. `labels` counts what was learned so far, by `SOURCE/VERDICT`;
    `positions` says up to which number labels of each source were learned. `weights` are those of the experts, `clip`
    bounds a correction in log-odds,
    `evidence` the guard's two figures, `switches` how often it has decided; unless `promoted` no payment gets it.
    `changes` are float32, little-endian, (paces, leaves).
    """

    seq: int
    version: str = ""
    base: str
    spec: str
    parent: str = ""
    why: str = ""
    since: int = 0
    at: int
    labels: dict[str, int] = {}
    watermark: int = 0
    weights: tuple[float, ...]
    clip: float
    evidence: tuple[float, float] = (1.0, 1.0)
    switches: int = 0
    promoted: bool = False
    positions: dict[str, int] = {}
    changes: bytes
    checksum: str = ""


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """Which version payments get on a base from `at` on (UTC ns), `""`: the base as it was trained; and why."""

    base: str
    version: str
    seq: int
    why: str
    at: int
    pinned: bool = False


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to the learner, at `at` (UTC ns): its kind, a sentence, and figures."""

    seq: int
    at: int
    kind: str
    text: str
    details: dict[str, Any] = {}


R = TypeVar("R", Snapshot, Live, Event)
_encode = msgspec.json.Encoder().encode


def snapshot_of(parameters: Parameters, **fields: Any) -> Snapshot:
    """Return a snapshot of parameters, named and sealed; `fields` are the others of `Snapshot`."""
    changes = parameters.changes.astype("<f4", copy=False).tobytes()
    weights = tuple(map(float, parameters.weights))
    made = Snapshot(weights=weights, clip=parameters.clip, changes=changes, **fields)
    checksum = checksum_of(made)
    return msgspec.structs.replace(made, version=version_of(made.seq, checksum), checksum=checksum)


def parameters_in(snapshot: Snapshot, leaves: int) -> Parameters:
    """Return the parameters of a snapshot for trees with so many leaves in all.

    Raises:
        ArtifactError: when it was damaged or changed, or is of trees with another number of leaves.
    """
    checksum = checksum_of(snapshot)
    if snapshot.checksum != checksum or snapshot.version != version_of(snapshot.seq, checksum):
        why = f"its checksum is {checksum[:SHORT]}, its name and seal say {snapshot.checksum[:SHORT] or 'nothing'}"
        raise _refused(snapshot, f"{why}: it was damaged or changed")
    wanted = PACES * leaves * np.dtype(np.float32).itemsize
    if len(snapshot.changes) != wanted:
        why = f"it changes leaves by {len(snapshot.changes)} bytes, {wanted} are expected for {leaves} leaves"
        raise _refused(snapshot, f"{why}: it was learned on other trees")
    changes = np.frombuffer(snapshot.changes, "<f4").reshape(PACES, leaves).astype(np.float32)
    weights = snapshot.weights
    sound = len(weights) == len(EXPERTS) and min(weights) >= 0 and abs(math.fsum(weights) - 1) <= SUM_TOLERANCE
    if not sound or not bool(np.isfinite(changes).all()):
        raise _refused(snapshot, f"its weights {weights} or changes are no numbers to serve by: {len(EXPERTS)} shares "
                                 "of 1 and finite changes are expected")  # fmt: skip
    return Parameters(weights, changes, snapshot.clip)


def size_for(leaves: int) -> int:
    """Return how many bytes a snapshot for trees with so many leaves takes at most, as it is published."""
    changes = PACES * leaves * np.dtype(np.float32).itemsize
    return 4 * math.ceil(changes / 3) + BESIDE


def need_base(snapshot: Snapshot, base: str, spec: str) -> None:
    """Raise ArtifactError unless a snapshot was learned on a model (`NAME@VERSION`) and on its feature spec."""
    if snapshot.base != base:
        raise _refused(snapshot, f"it was learned on {snapshot.base}, payments are scored by {base}")
    if snapshot.spec != spec:
        raise _refused(snapshot, f"it was learned on features {snapshot.spec}, payments have {spec}")


def encoded(record: Snapshot | Live | Event) -> bytes:
    """Return a record as it is published."""
    return _encode(record)


def decoded(body: bytes) -> Snapshot:
    """Return a published snapshot; raise ArtifactError when the bytes are none."""
    return _read(body, Snapshot)


def live_in(body: bytes) -> Live:
    """Return what a published record says is live; raise ArtifactError when it says nothing of the kind."""
    return _read(body, Live)


def event_in(body: bytes) -> Event:
    """Return what a published record says has happened; raise ArtifactError when it says nothing of the kind."""
    return _read(body, Event)


def version_of(seq: int, checksum: str) -> str:
    """Return the name of a snapshot."""
    return f"{seq}-{checksum[:SHORT]}"


def checksum_of(snapshot: Snapshot) -> str:
    """Return the SHA-256 of a snapshot's content, as hexadecimal digits."""
    content = msgspec.structs.replace(snapshot, version="", checksum="", positions={})
    return hashlib.sha256(_encode(content)).hexdigest()


def _refused(snapshot: Snapshot, why: str) -> ArtifactError:
    return ArtifactError(f"parameters {snapshot.version or snapshot.seq} are refused: {why}")


def _read(body: bytes, kind: type[R]) -> R:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        msg = f"{len(body)} bytes are no {kind.__name__.lower()} ({error}): a learner of this release sends others"
        raise ArtifactError(msg) from error
