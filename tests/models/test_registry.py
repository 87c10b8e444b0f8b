"""Artifacts on disk: what is saved comes back, and what does not fit is refused with the repair."""

import hashlib
import io
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.core.errors import ArtifactError
from fraud.core.records import DAY, MINUTE
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
        encoder="e1",
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
    again = registry.save(tmp_path, draft, dict(reversed(arrays.items())))
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


# --- the version in use ----------------------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path: Path, draft: Card, arrays: Arrays) -> list[str]:
    """Return three versions under one name, the last in use."""
    return [registry.save(tmp_path, draft, {**arrays, "a": np.full(4, i)}).version for i in range(3)]


def in_use(root: Path) -> str:
    return registry.load(root, "first").card.version


def test_promote_moves_to_a_kept_version(tmp_path: Path, three: list[str]) -> None:
    registry.promote(tmp_path, "first", three[0], at=9)
    assert in_use(tmp_path) == three[0]
    with pytest.raises(ArtifactError, match="no version 'nothing'"):
        registry.promote(tmp_path, "first", "nothing", at=9)
    assert in_use(tmp_path) == three[0]


def test_rollback_goes_back_one_by_one_and_says_when_there_is_no_more(tmp_path: Path, three: list[str]) -> None:
    assert [registry.rollback(tmp_path, "first", at=at) for at in (10, 11)] == [three[1], three[0]]
    assert in_use(tmp_path) == three[0]
    with pytest.raises(ArtifactError, match=f"no other version in use before {three[0]}"):
        registry.rollback(tmp_path, "first", at=12)


def test_rollback_after_a_promotion_goes_to_what_was_in_use_not_to_what_is_newest(
    tmp_path: Path, three: list[str]
) -> None:
    registry.rollback(tmp_path, "first", at=10)
    registry.promote(tmp_path, "first", three[0], at=11)
    assert registry.rollback(tmp_path, "first", at=12) == three[1]


def test_history_keeps_every_move(tmp_path: Path, three: list[str]) -> None:
    registry.promote(tmp_path, "first", three[0], at=10)
    registry.promote(tmp_path, "first", three[0], at=11)
    registry.rollback(tmp_path, "first", at=12)
    moves = [(move.at, move.how, move.version) for move in registry.history(tmp_path, "first")]
    assert moves == [
        (5, "train", three[0]), (5, "train", three[1]), (5, "train", three[2]),
        (10, "promote", three[0]), (12, "rollback", three[2]),
    ]  # fmt: skip


def test_history_that_was_cut_short_can_still_be_rolled_back(
    tmp_path: Path, three: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "KEPT_MOVES", 3)
    registry.rollback(tmp_path, "first", at=10)
    for at, version in enumerate(three):
        registry.promote(tmp_path, "first", version, at=at)
    assert len(registry.history(tmp_path, "first")) == 3
    assert registry.rollback(tmp_path, "first", at=20) == three[1]


def test_rollback_to_a_version_that_was_removed_is_refused(tmp_path: Path, three: list[str]) -> None:
    shutil.rmtree(tmp_path / "first" / three[1])
    with pytest.raises(ArtifactError, match="no longer kept"):
        registry.rollback(tmp_path, "first", at=10)
    assert in_use(tmp_path) == three[2]


def test_moving_half_way_leaves_the_old_version_in_use(
    tmp_path: Path, three: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(self: Path, target: Path) -> Path:
        raise OSError

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", dies)
        with pytest.raises(OSError):
            registry.promote(tmp_path, "first", three[0], at=9)
    assert in_use(tmp_path) == three[2]
    registry.promote(tmp_path, "first", three[0], at=9)
    assert in_use(tmp_path) == three[0]


@pytest.mark.parametrize(
    ("trained", "here", "told"),
    [
        (7 * DAY, 7 * DAY, None),
        (7 * DAY, DAY, "labels 7d late, here they come 1d late"),
        (7 * DAY, None, "here they come never"),
        (-1, 90 * MINUTE, "labels never, here they come 90m late"),
        (-1, None, None),
        (0, 1, "labels 0s late"),
    ],
)
def test_delay_warning_names_both_delays(draft: Card, trained: int, here: int | None, told: str | None) -> None:
    said = registry.delay_warning(msgspec.structs.replace(draft, label_delay=trained), here)
    assert (told in said) if told else said == ""


@pytest.mark.parametrize(("here", "warned"), [(5 * DAY, False), (9 * DAY, False), (10 * DAY, True), (None, True)])
def test_delays_within_the_spread_of_training_need_no_warning(draft: Card, here: int | None, warned: bool) -> None:
    card = msgspec.structs.replace(draft, label_delay=7 * DAY, label_spread=0.3)
    assert bool(registry.delay_warning(card, here)) is warned


# --- format 1 --------------------------------------------------------------------------------------------------------


def of_format_1(root: Path, draft: Card, arrays: Arrays) -> Card:
    """Write an artifact as the releases before safetensors did."""
    card = msgspec.structs.replace(registry.save(root / "new", draft, arrays), encoder="")
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    checksum = hashlib.sha256(packed.getvalue()).hexdigest()
    identity = "\0".join((draft.kind, draft.spec_version, *draft.features, checksum))
    version = hashlib.sha256(identity.encode()).hexdigest()[:12]
    old = msgspec.structs.replace(card, format=1, version=version, weights_sha256=checksum)
    fields = msgspec.to_builtins(old)
    for later in ("metrics_by_model", "exits", "encoder", "architecture"):
        del fields[later]
    folder = root / "first" / version
    folder.mkdir(parents=True)
    (folder / "weights.npz").write_bytes(packed.getvalue())
    (folder / CARD).write_bytes(msgspec.json.encode(fields))
    (root / "first" / "current").write_text(version + "\n")
    return old


def test_artifact_of_format_1_is_read(tmp_path: Path, draft: Card, arrays: Arrays) -> None:
    old = of_format_1(tmp_path, draft, arrays)
    found = registry.load(tmp_path, "first", spec_version="s1")
    assert found.card == old
    np.testing.assert_array_equal(found.arrays["a"], arrays["a"])


def test_artifact_of_format_1_can_be_followed_and_gone_back_to(tmp_path: Path, draft: Card, arrays: Arrays) -> None:
    old = of_format_1(tmp_path, draft, arrays)
    new = registry.save(tmp_path, draft, {**arrays, "a": np.zeros(4)})
    assert in_use(tmp_path) == new.version
    assert registry.rollback(tmp_path, "first", at=9) == old.version
    assert in_use(tmp_path) == old.version


# --- what is refused -------------------------------------------------------------------------------------------------


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
        (b'"format": 3', b'"format": 4', "artifact format 4"),
        (b'"encoder": "e1"', b'"encoder": "e2"', "was edited"),
        (b'"hour"', b'"mcc"', "was edited"),
        (b'"s1"', b'"s2"', "was edited"),
        (b'"ap": 0.5', b'"ap": 0.9', "was edited"),
        (b'"label_delay": 7', b'"label_delay": 8', "was edited"),
        (b'"created": 5', b'"created": 6', "was edited"),
        (b'"thresholds": {}', b'"thresholds": {"x": 1.0}', "was edited"),
        (b'"name": "first"', b'"name": "other"', r"card of other@\w+, not of first@"),
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


@pytest.mark.parametrize("array", [np.array([{}], dtype=object), np.array(["a"]), np.array([1j])])
def test_save_of_anything_but_numbers_is_refused(tmp_path: Path, draft: Card, array: NDArray[np.generic]) -> None:
    with pytest.raises(ArtifactError, match=r"'odd' is of type .* plain numbers"):
        registry.save(tmp_path, draft, {"odd": array})


@pytest.mark.parametrize("array", [np.zeros(0), np.array(3.5), np.arange(6).reshape(2, 3).T, np.array([True, False])])
def test_pack_keeps_shape_and_type_of_odd_arrays(array: NDArray[np.generic]) -> None:
    back = registry.unpack(registry.pack({"a": array}))["a"]
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(back, array)


def test_unpack_of_what_is_no_safetensors_file_is_refused() -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        registry.unpack(b"nonsense")


def test_save_after_a_crash_half_way_succeeds(tmp_path: Path, draft: Card, arrays: Arrays) -> None:
    version = registry.save(tmp_path / "other", draft, arrays).version
    left = tmp_path / "first" / f"{version}.new"
    left.mkdir(parents=True)
    (left / WEIGHTS).write_bytes(b"half")
    assert registry.names(tmp_path) == []
    registry.save(tmp_path, draft, arrays)
    assert registry.load(tmp_path, "first").card.version == version
