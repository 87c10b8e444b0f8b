"""Releases are put in force from model, rules and policy, and gone back to; what cannot be loaded is refused."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from features.spec import spec
from fraud.core.errors import ArtifactError, ReleaseError, RuleError, SettingsError
from fraud.core.policy import ThresholdPolicy
from fraud.core.releases import How, Release
from fraud.core.settings import ModelSection, PolicySection, RulesSection, Settings
from streaming import wiring
from streaming.files.releases import FolderReleases
from streaming.kafka.model_pointer import Pointer
from streaming.releasing import (
    Move,
    NoHistories,
    Releasing,
    Wanted,
    bundle_of,
    need_agreement,
    need_no_release,
)

RULES = 'rule big "paid {amount}" :\n    when amount > 20\n    then review\n'
LISTED = 'list stolen block card from "stolen.txt"\n' + RULES
POLICY = '[policy]\nkind = "threshold"\n[policy.threshold]\nchallenge = 0.2\n'


def by(name: str = "lea", at: int = 5) -> Move:
    return Move(name, at, "because")


@pytest.fixture
def kept(tmp_path: Path) -> FolderReleases:
    return FolderReleases(tmp_path / "releases")


def releasing(kept: FolderReleases, model: str = "rules", **more: Any) -> Releasing:
    settings = Settings(model=ModelSection(name=model), **more)
    return Releasing(settings, kept, NoHistories())


def test_the_first_release_has_what_is_named_and_the_rest_of_the_settings(kept: FolderReleases, tmp_path: Path) -> None:
    (tmp_path / "site.fr").write_text(LISTED)
    (tmp_path / "stolen.txt").write_text("C1\n")
    policy = PolicySection(kind="threshold", threshold=ThresholdPolicy(0.05, 0.4, 0.8))
    rules = RulesSection(file=str(tmp_path / "site.fr"))
    made = releasing(kept, policy=policy, rules=rules).activate(Wanted(model="demo"), by())
    assert (kept.live(), kept.moves()) == (made, [made])
    assert made.model.startswith("demo@")
    assert (made.by, made.at, made.note, made.how, made.number) == ("lea", 5, "because", How.ACTIVATE, 1)
    chosen = wiring.released(Settings(), made, kept.text, spec().version)
    settings = Settings(model=ModelSection(name="demo"), policy=policy, rules=rules)
    same = wiring.strategy(settings, spec().version)
    assert (chosen.rules.version, chosen.policy.version, chosen.scorer.version, chosen.release) == (
        same.rules.version, same.policy.version, same.scorer.version, made.id
    )  # fmt: skip
    assert chosen.rules.version == made.rules


def test_what_is_not_named_stays_as_it_is_in_force(kept: FolderReleases) -> None:
    put = releasing(kept)
    first = put.activate(Wanted(model="demo", policy=POLICY), by())
    second = put.activate(Wanted(rules=RULES), by("kim", 6))
    assert (second.model, second.policy) == (first.model, first.policy)
    assert second.rules != first.rules == "none"
    assert second.id.startswith("r2-")
    assert kept.text(second.rules) == RULES
    assert put.activate(Wanted(rules=RULES), by("kim", 7)) == second
    assert kept.moves() == [first, second]
    assert put.activate(Wanted(rules="none"), by()).id == first.id


def test_rollback_goes_back_and_further_and_says_when_there_is_none(kept: FolderReleases) -> None:
    put = releasing(kept)
    with pytest.raises(ReleaseError, match="none was ever put in force"):
        put.rollback(by())
    first = put.activate(Wanted(), by())
    second, third = put.activate(Wanted(rules=RULES), by()), put.activate(Wanted(policy=POLICY), by())
    back = put.rollback(by("kim", 9))
    assert (back.id, back.how, back.by, back.at, back.number) == (second.id, How.ROLLBACK, "kim", 9, 4)
    assert put.rollback(by()).id == first.id
    with pytest.raises(ReleaseError, match=f"none was in force before {first.id}"):
        put.rollback(by())
    assert put.again(third.id, by()).parts == third.parts
    assert kept.live() == kept.moves()[-1]


FAULTY: dict[str, tuple[Wanted, type[Exception], str]] = {
    "model": (Wanted(model="demmo"), ArtifactError, "No model is named 'demmo'"),
    "version": (Wanted(model="demo@000000000000"), ArtifactError, "has no version '000000000000'"),
    "rules": (Wanted(rules="rule a : when amuont > 1 then note"), RuleError, "rules.fr:1:15"),
    "list": (Wanted(rules=LISTED), RuleError, "stolen.txt"),
    "policy": (Wanted(policy="[policy]\nkin = 'cost'\n"), SettingsError, "policy.kin"),
    "section": (Wanted(policy="[policy]\nkind = 'cost'\n[model]\nname = 'demo'\n"), SettingsError, "model"),
    "budget": (Wanted(model="rules", policy="policy.kind = 'capacity'"), SettingsError, "scores"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_what_cannot_be_loaded_is_refused_and_nothing_is_written(
    kept: FolderReleases, tmp_path: Path, fault: str
) -> None:
    put = releasing(kept, "demo")
    first = put.activate(Wanted(), by())
    before = sorted(tmp_path.rglob("*"))
    wanted, kind, said = FAULTY[fault]
    with pytest.raises(kind, match=said):
        put.activate(wanted, by())
    assert kept.moves() == [first]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_release_whose_text_is_damaged_is_not_gone_back_to(kept: FolderReleases, tmp_path: Path) -> None:
    put = releasing(kept)
    first = put.activate(Wanted(rules=RULES), by())
    second = put.activate(Wanted(rules="none"), by())
    (tmp_path / "releases" / "texts" / first.rules).write_text("rule x : when amount > 1 then decline")
    with pytest.raises(ReleaseError, match="is damaged"):
        put.rollback(by())
    assert kept.live() == second


class Store:
    """A state store that has kept histories of some encoders, and names one in its pointer."""

    def __init__(self, pointer: str = "", holds: str = "") -> None:
        self._pointer, self._holds = pointer, holds

    def pointer(self) -> bytes:
        return Pointer("m", "m@1", self._pointer).bytes() if self._pointer else b""

    def holds_histories(self, encoder: str) -> bool:
        return encoder == self._holds


def encoder() -> str:
    return wiring.scorer("demo-blend", Settings(), spec().version).encoder


@pytest.mark.parametrize(("pointer", "holds", "fine"), [("own", "", True), ("", "own", True), ("other", "own", False),
                                                        ("", "", False)])  # fmt: skip
def test_a_model_that_reads_histories_is_refused_where_the_state_lacks_them(
    kept: FolderReleases, pointer: str, holds: str, fine: bool
) -> None:
    names = {"own": encoder(), "other": "another", "": ""}
    put = Releasing(Settings(), kept, Store(names[pointer], names[holds]))
    if fine:
        assert put.activate(Wanted(model="demo-blend"), by()).encoder == encoder()
        return
    with pytest.raises(ArtifactError, match="fraud state reencode --model demo-blend@"):
        put.activate(Wanted(model="demo-blend"), by())
    assert kept.moves() == []


def test_histories_that_nobody_kept_up_meanwhile_are_refused(kept: FolderReleases) -> None:
    put = Releasing(Settings(), kept, Store("", encoder()))
    put.activate(Wanted(model="demo-blend"), by())
    put.activate(Wanted(model="demo"), by())
    with pytest.raises(ArtifactError, match="up to now"):
        put.rollback(by())


LIVE = Release(id="r3-abc", model="demo@12", rules="none", policy="p", by="kim", at=1_764_511_445_000_000_000)


def test_a_release_in_force_stands_above_what_is_asked_for() -> None:
    need_no_release(None, "promoting")
    with pytest.raises(ReleaseError, match=r"r3-abc is in force since 2025-11-30T14:04:05Z by kim.*release activate"):
        need_no_release(LIVE, "promoting demo 13")


@pytest.mark.parametrize("model", [None, "demo", "demo@12"])
def test_a_command_line_that_agrees_with_the_release_is_fine(tmp_path: Path, model: str | None) -> None:
    need_agreement(None, "other", "default")
    need_agreement(LIVE, model, None)
    (tmp_path / "a.fr").write_text(RULES)
    put = releasing(FolderReleases(tmp_path / "releases"))
    made = put.activate(Wanted(rules=bundle_of(str(tmp_path / "a.fr"))), by())
    need_agreement(made, None, str(tmp_path / "a.fr"))


OTHER = [
    ("demo@13", None, "--model demo@13"),
    ("blend", None, "--model blend"),
    (None, "default", "--rules default"),
]


@pytest.mark.parametrize(("model", "rules", "said"), OTHER)
def test_a_command_line_that_names_something_else_is_refused(model: str | None, rules: str | None, said: str) -> None:
    with pytest.raises(ReleaseError, match=f"stands above {said}: .* release activate {said}'"):
        need_agreement(LIVE, model, rules)


def test_release_keeps_a_model_in_use_and_loads_another(kept: FolderReleases) -> None:
    put = releasing(kept, "demo")
    first = put.activate(Wanted(), by())
    chosen = wiring.released(Settings(), first, kept.text, spec().version)
    second = put.activate(Wanted(rules=RULES), by())
    again = wiring.released(Settings(), second, kept.text, spec().version, chosen)
    assert again.scorer is chosen.scorer
    assert again.reduced is chosen.reduced
    assert (again.release, again.rules.version) == (second.id, second.rules)
    other = wiring.released(
        Settings(), msgspec.structs.replace(second, model="rules"), kept.text, spec().version, chosen
    )
    assert other.scorer is not chosen.scorer
