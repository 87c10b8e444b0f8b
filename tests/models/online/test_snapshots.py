"""What a learner publishes: read back as it was, and refused where it is damaged or of something else."""

import msgspec
import numpy as np
import pytest

from fraud.core.errors import ArtifactError
from models.online.parameters import Parameters
from models.online.snapshots import (
    Live,
    Snapshot,
    decoded,
    encoded,
    live_in,
    need_base,
    parameters_in,
    snapshot_of,
)

LEAVES = 7
BASE, SPEC = "demo@60ab89d9fa6b", "spec-1"


def parameters(seed: int = 3) -> Parameters:
    changes = np.random.default_rng(seed).normal(0, 0.1, (2, LEAVES)).astype(np.float32)
    return Parameters((0.5, 0.25, 0.25), changes, clip=1.5)


def made(seed: int = 3, **fields: object) -> Snapshot:
    given = {"seq": 12, "base": BASE, "spec": SPEC, "at": 60, "labels": {"chargeback/fraud": 3}, **fields}
    return snapshot_of(parameters(seed), **given)


def test_a_snapshot_comes_back_as_it_was_to_the_bit() -> None:
    again = decoded(encoded(made(positions={"labels/0": 7})))
    assert again == made(positions={"labels/0": 7})
    found = parameters_in(again, LEAVES)
    assert (found.weights, found.clip) == (parameters().weights, 1.5)
    assert found.changes.tobytes() == parameters().changes.tobytes()


def test_a_version_is_its_number_and_the_beginning_of_its_checksum() -> None:
    snapshot = made()
    assert snapshot.version == f"12-{snapshot.checksum[:8]}"
    assert len({made(seed).version for seed in range(20)}) == 20
    assert made(labels={"chargeback/fraud": 4}).version != snapshot.version


def test_positions_are_put_in_later_and_change_no_version() -> None:
    later = msgspec.structs.replace(made(), positions={"labels/0": 7})
    assert later.version == made().version
    parameters_in(later, LEAVES)


def test_a_record_is_text_without_code() -> None:
    assert msgspec.json.decode(encoded(made()))["base"] == BASE


@pytest.mark.parametrize(
    "change",
    [
        {"weights": (0.4, 0.35, 0.25)},
        {"changes": parameters(4).changes.tobytes()},
        {"seq": 13},
        {"clip": 3.0},
        {"base": "demo@000000000000"},
        {"promoted": True},
        {"labels": {}},
        {"version": "12-00000000"},
        {"checksum": "0" * 64},
        {"checksum": ""},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_snapshot_that_was_changed_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ArtifactError, match=r"parameters 1[23]-\w+ are refused: its checksum is \w{8}, .* damaged"):
        parameters_in(msgspec.structs.replace(made(), **change), LEAVES)


def test_a_snapshot_of_other_trees_is_refused() -> None:
    with pytest.raises(ArtifactError, match="by 56 bytes, 64 are expected for 8 leaves"):
        parameters_in(made(), LEAVES + 1)


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.6, 0.6, -0.2), (0.5, 0.25, 0.5)], ids=str)
def test_weights_that_are_no_shares_are_refused(weights: tuple[float, ...]) -> None:
    snapshot = snapshot_of(parameters()._replace(weights=weights), seq=1, base=BASE, spec=SPEC, at=1)
    with pytest.raises(ArtifactError, match="no numbers to serve by"):
        parameters_in(snapshot, LEAVES)


def test_changes_that_are_no_numbers_are_refused() -> None:
    changes = parameters().changes.copy()
    changes[1, 2] = np.nan
    snapshot = snapshot_of(Parameters((0.5, 0.25, 0.25), changes), seq=1, base=BASE, spec=SPEC, at=1)
    with pytest.raises(ArtifactError, match="no numbers to serve by"):
        parameters_in(snapshot, LEAVES)


def test_a_snapshot_of_another_model_or_spec_is_refused() -> None:
    need_base(made(), BASE, SPEC)
    with pytest.raises(ArtifactError, match=f"it was learned on {BASE}, payments are scored by demo@new"):
        need_base(made(), "demo@new", SPEC)
    with pytest.raises(ArtifactError, match="it was learned on features spec-1, payments have spec-2"):
        need_base(made(), BASE, "spec-2")


@pytest.mark.parametrize("body", [b"", b"{}", b"\x80\x04K\x01.", b'{"seq":"x"}'])
def test_bytes_that_are_none_are_refused(body: bytes) -> None:
    with pytest.raises(ArtifactError, match=rf"{len(body)} bytes are no snapshot .*a learner of this"):
        decoded(body)
    with pytest.raises(ArtifactError, match=rf"{len(body)} bytes are no live .*a learner of this"):
        live_in(body)


def test_what_is_live_comes_back_as_it_was() -> None:
    live = Live(base=BASE, version="12-abcdef01", seq=12, why="evidence 21", at=60, pinned=True)
    assert live_in(encoded(live)) == live
