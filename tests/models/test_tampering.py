"""Artifacts that somebody has changed: every field of a card, the weights, and both so that they fit each other."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.spec import spec
from fraud.core.errors import ArtifactError, SettingsError
from fraud.core.settings import ModelSection, Settings
from models import registry, signatures
from models.registry import CARD, WEIGHTS, Card
from streaming import wiring
from streaming.wiring import SHIPPED

SHIPPED_CARDS = sorted(SHIPPED.glob(f"*/*/{CARD}"))
FIELDS = [name for name in Card.__struct_fields__ if name != "format"]
SAVED = Card(
    kind="booster", name="mine", created=5, data_hash="d", spec_version="s", features=("amount",), label_delay=7,
    seed=0, metrics={"ap": 0.5}, thresholds={"1%": 0.5}, attrs={"sort": "category"}, words={"sort": ("a", "b")},
)  # fmt: skip


def other(value: Any) -> Any:
    """Return a value of the same kind that is another one."""
    if isinstance(value, dict):
        return {**value, "more": 1.0} if all(isinstance(each, float) for each in value.values()) else {}
    if isinstance(value, list):
        return value[::-1] if len(value) > 1 else ["other"]
    return value + 1 if isinstance(value, int | float) else value[:-1] + ("b" if value[-1:] == "a" else "a")


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    card = json.loads((folder / CARD).read_text())
    change(card)
    (folder / CARD).write_text(json.dumps(card))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of an artifact of today's format."""
    card = registry.save(tmp_path, SAVED, {"a": np.arange(4.0)})
    return tmp_path / card.name / card.version


@pytest.mark.parametrize("path", SHIPPED_CARDS, ids=lambda path: str(path.parent.parent.name))
def test_shipped_artifact_is_whole_under_its_version(path: Path) -> None:
    version = path.parent.name
    assert registry.card_of(SHIPPED, path.parent.parent.name, version).version == version


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("path", SHIPPED_CARDS, ids=lambda path: str(path.parent.parent.name))
def test_no_field_of_a_shipped_card_can_be_edited(path: Path, field: str, tmp_path: Path) -> None:
    shutil.copytree(path.parents[1], tmp_path / path.parents[1].name)
    folder = tmp_path / path.parents[1].name / path.parent.name
    card = json.loads((folder / CARD).read_text())
    edited(folder, lambda card: card.update({field: other(card.get(field, ""))}))
    assert json.loads((folder / CARD).read_text()) != card
    with pytest.raises(ArtifactError):
        registry.load(tmp_path, path.parents[1].name)


@pytest.mark.parametrize("field", [*FIELDS, "format"])
def test_no_field_of_a_saved_card_can_be_edited(saved: Path, field: str) -> None:
    edited(saved, lambda card: card.update({field: other(card[field])}))
    with pytest.raises(ArtifactError, match=r"edited|damaged|card of|cannot be read|format"):
        registry.load(saved.parents[1], "mine")


def test_listing_refuses_an_edited_card_too(saved: Path) -> None:
    edited(saved, lambda card: card["metrics"].update(ap=0.99))
    with pytest.raises(ArtifactError, match="was edited"):
        registry.found(saved.parents[1])


def replaced_as_a_whole(folder: Path) -> None:
    """Put other weights in the place of an artifact's, and a card that fits them, version included."""
    weights = registry.pack({"a": np.ones(4)})
    (folder / WEIGHTS).write_bytes(weights)
    edited(folder, lambda card: card.update(weights_sha256=hashlib.sha256(weights).hexdigest()))
    version = registry.version_of((folder / CARD).read_bytes())
    edited(folder, lambda card: card.update(version=version))


def test_artifact_replaced_as_a_whole_is_not_taken_for_the_one_in_whose_place_it_lies(saved: Path) -> None:
    replaced_as_a_whole(saved)
    with pytest.raises(ArtifactError, match=rf"not of mine@{saved.name}"):
        registry.load(saved.parents[1], "mine")


# --- signatures ------------------------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "release.key"
    signatures.make_key(path)
    return path


def public(key: Path) -> str:
    return signatures.public_of(signatures.read_key(key))


def test_key_is_for_its_owner_alone(key: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SettingsError, match="name a new file"):
        signatures.make_key(key)
    key.chmod(0o640)
    with pytest.raises(SettingsError, match=r"can be read by others \(mode 640\): chmod 600"):
        signatures.read_key(key)


def test_key_that_is_none_is_refused(key: Path) -> None:
    key.write_text("abc")
    with pytest.raises(SettingsError, match="no signing key: expected 64 hexadecimal digits"):
        signatures.read_key(key)


def test_artifact_signed_by_somebody_trusted_is_taken(saved: Path, key: Path, tmp_path: Path) -> None:
    signatures.make_key(tmp_path / "other.key")
    signatures.sign(saved, signatures.read_key(tmp_path / "other.key"))
    signatures.sign(saved, signatures.read_key(key))
    assert len(signatures.signers(saved)) == 2
    signatures.require_trusted(saved, [public(key).upper()])
    signatures.require_trusted(saved, ["0" * 64, public(tmp_path / "other.key")])


def test_artifact_that_nobody_trusted_has_signed_is_refused(saved: Path, key: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is signed by nobody, and model\.trusted asks for one of"):
        signatures.require_trusted(saved, [public(key)])
    signatures.make_key(tmp_path / "other.key")
    signatures.sign(saved, signatures.read_key(tmp_path / "other.key"))
    with pytest.raises(ArtifactError, match=rf"is signed by {public(tmp_path / 'other.key')[:12]}"):
        signatures.require_trusted(saved, [public(key)])


def test_signature_of_another_card_is_none(saved: Path, key: Path) -> None:
    signatures.sign(saved, signatures.read_key(key))
    edited(saved, lambda card: card.update(seed=1))
    assert signatures.signers(saved) == []
    with pytest.raises(ArtifactError, match=r"model\.trusted asks for"):
        signatures.require_trusted(saved, [public(key)])


@pytest.mark.parametrize("text", ["", "nonsense", "{public} 00", "{public} " + "0" * 128, "xx yy\n\n"])
def test_broken_signature_is_none(saved: Path, key: Path, text: str) -> None:
    (saved / signatures.FILE).write_text(text.format(public=public(key)))
    assert signatures.signers(saved) == []


def test_public_key_that_is_none_is_refused(saved: Path) -> None:
    with pytest.raises(SettingsError, match=r"model\.trusted: 'mine' is no public key"):
        signatures.require_trusted(saved, ["mine"])


def trusting(*keys: str, folder: Path = SHIPPED) -> Settings:
    return Settings(model=ModelSection(name="demo", folder=str(folder), trusted=keys))


def test_service_takes_no_model_that_nobody_trusted_has_signed(key: Path, tmp_path: Path) -> None:
    shutil.copytree(SHIPPED / "demo", tmp_path / "models" / "demo")
    settings, version = trusting(public(key), folder=tmp_path / "models"), spec().version
    with pytest.raises(ArtifactError, match="signed by nobody"):
        wiring.scorer("demo", settings, version)
    signatures.sign(registry.folder_of(tmp_path / "models", "demo"), signatures.read_key(key))
    assert wiring.scorer("demo", settings, version).version == "demo@60ab89d9fa6b"
