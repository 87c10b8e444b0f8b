"""What a long fit or evaluation leaves on disk as it goes: a killed one goes on, and a second one need not fit again.

A fold's folder is named by the data and the rows it learns from and is tested on. In it lie fitted boosters, the
network's checkpoint while it is being fitted, and the test scores of every kind once they are there, each named by the
settings (seed included) and the code that made it: runs which differ in the network's settings alone share the booster,
and what another version of this project has left is not taken for today's. They are read again only when that is asked
for (`--resume`).
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from fraud.common.compiled import sources_hash
from fraud.common.files import write_atomic
from fraud.core.errors import ArtifactError, DataError
from fraud.training.booster import BoosterSettings, Fit
from fraud.training.dataset import Dataset
from fraud.training.settings import booster_of
from fraud.training.worth import Worth
from models import registry
from models.boosting.trees import F64, Trees
from models.calibration import Beta

if TYPE_CHECKING:
    from fraud.training.blend import BlendSettings
    from fraud.training.protocols import Fold

FOLDERS = tuple(Path(__file__).parents[2] / name for name in ("fraud/core", "fraud/common", "fraud/training", "models"))
"""The code that fits and scores, with what it rests on; extracted vectors carry the spec of theirs."""
CALIBRATION, ROUNDS, VALIDATION, IMPORTANCE = "calibration", "rounds", "validation", "importance"
WORTH = "worth"


class Checkpoints(NamedTuple):
    """The files that one fit leaves, in a fold's folder, named by its settings."""

    folder: Path
    settings: "BoosterSettings | BlendSettings"

    @property
    def scores(self) -> Path:
        """Return the file of test scores."""
        return self.folder / f"scores-{_short(self.settings)}.safetensors"

    @property
    def network(self) -> Path:
        """Return the file of a network that is being fitted."""
        return self.folder / f"network-{_short(self.settings)}.ckpt"

    def booster(self, settings: BoosterSettings) -> Path:
        """Return the file of a booster fitted with these settings."""
        return self.folder / f"booster-{_short(settings)}.safetensors"

    def clear(self) -> None:
        """Remove what an earlier call with the same settings has left."""
        for path in (self.scores, self.network, self.booster(booster_of(self.settings))):
            path.unlink(missing_ok=True)


def checkpoints_in(folder: Path, settings: "BoosterSettings | BlendSettings", *, resume: bool) -> Checkpoints:
    """Return where a fit keeps what it leaves; without `resume` nothing that lies there is used."""
    made = Checkpoints(folder, settings)
    if not resume:
        made.clear()
    return made


def fold_folder(root: Path, data: Dataset, fold: "Fold") -> Path:
    """Return the folder of one fold."""
    digest = hashlib.sha256(repr((data.meta.identity.key, fold.span)).encode())
    digest.update(np.ascontiguousarray(fold.test).tobytes())
    return root / f"{fold.name.replace(' ', '-')}-{digest.hexdigest()[:12]}"


def read_scores(path: Path) -> dict[str, F64] | None:
    """Return the kept scores by kind, or None; raise DataError when they are damaged."""
    try:
        held = registry.unpack(path.read_bytes())
    except FileNotFoundError:
        return None
    except ArtifactError as error:
        message = f"{path} is damaged ({error}); remove it and run again."
        raise DataError(message) from error
    return {kind: array.astype(np.float64) for kind, array in held.items()}


def write_scores(path: Path, scores: dict[str, F64]) -> None:
    """Keep scores by kind, by one rename."""
    write_atomic(path, registry.pack(scores))


def write_booster(path: Path, made: Fit) -> None:
    """Keep a fitted booster with all that was seen on the way."""
    more = {CALIBRATION: np.array(made.calibration), ROUNDS: np.array(made.rounds)}
    arrays = {**made.trees.arrays(), **more, VALIDATION: made.validation, IMPORTANCE: made.importance}
    if made.worth:
        arrays[WORTH] = np.frombuffer(msgspec.json.encode(made.worth), np.uint8)
    write_atomic(path, registry.pack(arrays))


def read_booster(path: Path) -> Fit | None:
    """Return a kept booster, or None."""
    if not path.exists():
        return None
    arrays = registry.unpack(path.read_bytes())
    calibration = Beta(*(float(number) for number in arrays[CALIBRATION]))
    validation, importance = (np.asarray(arrays[name], np.float64) for name in (VALIDATION, IMPORTANCE))
    told = msgspec.json.decode(arrays[WORTH].tobytes(), type=tuple[Worth, ...]) if WORTH in arrays else ()
    return Fit(Trees.from_arrays(arrays), calibration, int(arrays[ROUNDS]), validation, importance, told)


def _short(settings: msgspec.Struct) -> str:
    return hashlib.sha256(msgspec.json.encode(settings) + code().encode()).hexdigest()[:12]


@cache
def code() -> str:
    """Return a hash of the sources that fit and score."""
    return sources_hash(FOLDERS)
