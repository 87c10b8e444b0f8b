"""Artifacts on disk: what is saved comes back, and what does not fit is refused with the repair."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from fraud.core.errors import ArtifactError
from models import registry
from models.registry import CARD, WEIGHTS, Arrays, Card


@pytest.fixture
def draft() -> Card:
    return Card(
        kind="booster",
        name="first",
        created=5,
        data_hash="d",
        spec_version="s1",
        features=("amount", "hour"),
        label_delay=7,
        seed=0,
        metrics={"ap": 0.5, "cp100": None},
    )


@pytest.fixture
def arrays() -> Arrays:
    return {"a": np.arange(4, dtype=np.float64), "b": np.array([1, 2], dtype=np.int32)}


def test_load_returns_what_was_saved(tmp_path: Path, draft: Card, arrays: Arrays) -> None:
    card = registry.save(tmp_path, draft, arrays)
    artifact = registry.load(tmp_path, "first", spec_version="s1")
    assert artifact.card == card
    assert artifact.card.metrics == draft.metrics
    assert artifact.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert artifact.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(artifact.arrays[name], array)


def test_save_of_equal_content_gives_the_same_version(tmp_path: Path, draft: Card, arrays: Arrays) -> None:
    first = registry.save(tmp_path, draft, arrays)
    again = registry.save(tmp_path, msgspec.structs.replace(draft, created=6), dict(reversed(arrays.items())))
    assert again.version == first.version
    assert len(registry.found(tmp_path)) == 1


def test_save_of_other_content_keeps_the_old_version(tmp_path: Path, draft: Card, arrays: Arrays) -> None:
    old = registry.save(tmp_path, draft, arrays)
    new = registry.save(tmp_path, msgspec.structs.replace(draft, created=6), {**arrays, "a": np.zeros(4)})
    assert registry.load(tmp_path, "first").card == new
    assert registry.load(tmp_path, "first", version=old.version).card == old
    assert [(line.card.version, line.current) for line in registry.found(tmp_path)] == [
        (old.version, False),
        (new.version, True),
    ]


def test_point_moves_back_to_a_kept_version(tmp_path: Path, draft: Card, arrays: Arrays) -> None:
    old = registry.save(tmp_path, draft, arrays)
    registry.save(tmp_path, draft, {**arrays, "a": np.zeros(4)})
    registry.point(tmp_path, "first", old.version)
    assert registry.load(tmp_path, "first").card.version == old.version
    with pytest.raises(ArtifactError, match="no version 'nothing'"):
        registry.point(tmp_path, "first", "nothing")


def test_load_of_damaged_weights_is_refused(tmp_path: Path, draft: Card, arrays: Arrays) -> None:
    card = registry.save(tmp_path, draft, arrays)
    path = tmp_path / "first" / card.version / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"damaged or replaced\. Restore"):
        registry.load(tmp_path, "first")


def test_load_without_weights_is_refused(tmp_path: Path, draft: Card, arrays: Arrays) -> None:
    card = registry.save(tmp_path, draft, arrays)
    (tmp_path / "first" / card.version / WEIGHTS).unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        registry.load(tmp_path, "first")


def test_load_under_another_spec_is_refused_with_the_repair(tmp_path: Path, draft: Card, arrays: Arrays) -> None:
    registry.save(tmp_path, draft, arrays)
    with pytest.raises(ArtifactError, match=r"feature spec s1, this release computes s2\. .*fraud train --name first"):
        registry.load(tmp_path, "first", spec_version="s2")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"format": 1', b'"format": 2', "artifact format 2"),
        (b'"hour"', b'"mcc"', "was edited"),
        (b'"s1"', b'"s2"', "was edited"),
        (b'"kind"', b'"sort"', "cannot be read"),
        (b"{", b"", "cannot be read"),
    ],
)
def test_load_of_a_changed_card_is_refused(
    tmp_path: Path, draft: Card, arrays: Arrays, old: bytes, new: bytes, message: str
) -> None:
    card = registry.save(tmp_path, draft, arrays)
    path = tmp_path / "first" / card.version / CARD
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(ArtifactError, match=message):
        registry.load(tmp_path, "first")


def test_load_of_an_unknown_name_offers_the_nearest(tmp_path: Path, draft: Card, arrays: Arrays) -> None:
    registry.save(tmp_path, draft, arrays)
    with pytest.raises(ArtifactError, match="Did you mean 'first'"):
        registry.load(tmp_path, "frist")


def test_load_from_an_empty_registry_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none yet: fraud train makes one.*'--model rules' always works"):
        registry.load(tmp_path / "nowhere", "first")


@pytest.mark.parametrize("name", ["", "../up", "Upper", "a b", "-x", ".x", "x" * 65, "rules"])
def test_save_under_a_name_that_is_not_allowed_is_refused(
    tmp_path: Path, draft: Card, arrays: Arrays, name: str
) -> None:
    with pytest.raises(ArtifactError, match=r"cannot name a model|is taken"):
        registry.save(tmp_path, msgspec.structs.replace(draft, name=name), arrays)


def test_unpack_refuses_objects() -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be"):
        registry.pack({"a": np.array([{}], dtype=object)})


def test_save_after_a_crash_half_way_succeeds(tmp_path: Path, draft: Card, arrays: Arrays) -> None:
    version = registry.save(tmp_path / "other", draft, arrays).version
    left = tmp_path / "first" / f"{version}.new"
    left.mkdir(parents=True)
    (left / WEIGHTS).write_bytes(b"half")
    assert registry.names(tmp_path) == []
    registry.save(tmp_path, draft, arrays)
    assert registry.load(tmp_path, "first").card.version == version
