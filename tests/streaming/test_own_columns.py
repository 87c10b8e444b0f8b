"""Own columns from file and wire give the same vectors; models of another declaration are refused in words."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fraud.core.attributes.declaration import AttrsSection
from fraud.core.attributes.values import word_hash
from fraud.core.engine import Engine
from fraud.core.errors import ArtifactError, MappingError, SettingsError
from fraud.core.records import Arrival, FeatureVector, Position, Reject, Transaction
from fraud.core.rules.ruleset import compile_rules
from fraud.core.settings import ModelSection, Settings
from models import registry
from streaming import wiring
from streaming.files import redrive
from streaming.files.table import Table
from streaming.files.values import mapping
from streaming.files.values.rows import Row
from streaming.messages import schema
from streaming.replay.job import Request
from streaming.settings import declared, read_settings
from tests.streaming.own_rows import MAPPING, OWN, file_of, numbers

SITE = Settings(
    attrs=AttrsSection(number={"old": "", "new": ""}, category={"sort": ""}, expression={"drift": "old - amount - new"})
)


def vectors(settings: Settings, arrivals: list[Arrival]) -> list[FeatureVector]:
    engine: Engine = wiring.build(settings).engine
    found = [answer.vector for batch in range(0, len(arrivals), 7) for answer in engine.handle(arrivals[batch:][:7])]
    return [vector for vector in found if vector is not None]


def arrivals_of(path: Path) -> list[Arrival]:
    rows = [row for row in Table(path, mapping.parse(MAPPING + OWN, "own")).rows() if isinstance(row, Row)]
    return [Arrival(row.tx, Position("t", 0, number)) for number, row in enumerate(rows)]


def test_file_and_wire_give_the_same_vectors(tmp_path: Path) -> None:
    from_file, codec = arrivals_of(file_of(tmp_path)), wiring.codec(SITE)
    from_wire = []
    for arrival in from_file:
        tx = arrival.event
        assert isinstance(tx, Transaction)
        sent = codec.transaction(schema.of_transaction(tx), arrival.position, tx.seen_at)
        assert isinstance(sent, Arrival)
        from_wire.append(sent)
    first, second = vectors(SITE, from_file), vectors(SITE, from_wire)
    assert len(first) == 200
    assert [one.values.tobytes() for one in first] == [one.values.tobytes() for one in second]
    assert {one.spec_version for one in first + second} == {wiring.spec_of(SITE).version}
    drift, sort = np.array([one.values[-2:] for one in first]).T
    assert set(sort[~np.isnan(sort)].tolist()) == {word_hash("IN"), word_hash("OUT")}
    assert np.isfinite(drift).sum() > 100
    assert np.isnan(drift).any()


def test_settings_take_what_a_mapping_declares(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(MAPPING + OWN)
    assert declared(wiring.under(Settings(), str(path))) == declared(SITE)
    assert wiring.under(SITE, str(path)) is SITE
    assert wiring.under(SITE, "native") is SITE


def test_mapping_and_settings_that_declare_otherwise_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(MAPPING + OWN)
    other = Settings(attrs=AttrsSection(number={"old": ""}))
    with pytest.raises(
        SettingsError, match=r"declares other own columns than the settings: 'new' \(number\) only here"
    ):
        wiring.under(other, str(path))


def test_settings_with_a_faulty_declaration_are_refused_when_they_are_read() -> None:
    with pytest.raises(SettingsError, match="settings: 'when' cannot name"):
        read_settings(env={"FRAUD_ATTRS__NUMBER": "{ when = '' }"})


@pytest.mark.parametrize("text", ["[attrs.number]\nold = ''", "[attrs.number]\nid = 'x'", "[attrs.words]\na = 'x'"])
def test_faulty_own_columns_of_a_mapping_are_refused(text: str) -> None:
    with pytest.raises(MappingError, match=r"attrs|own number"):
        mapping.parse(MAPPING + text, "own")


def test_value_of_another_type_on_the_wire_counts_as_missing_and_is_counted() -> None:
    codec = wiring.codec(SITE)
    sent: dict[str, Any] = {"id": "t", "card": "c", "merchant": "m", "amount": 5, "happened_at": "2026-01-31T12:00:00Z"}
    own: list[dict[str, Any]] = [{"attrs": {"old": "many", "new": 3}}, {"old": True}, {"attrs": {"old": None}}, {}]
    for values in own:
        got = codec.transaction(msgspec.json.encode({**sent, **values}), Position("t", 0, 0), 2**61)
        assert not isinstance(got, Reject)
    assert dict(codec.wrong) == {"old": 2}


def test_rules_name_own_numbers() -> None:
    words = wiring.vocabulary(SITE)
    sorts = compile_rules('rule out: when attrs.sort == "OUT" and attrs.old > 1 then note', words)
    rules = compile_rules("rule emptied: when attrs.new == 0 and attrs.drift > 100 then review", words)
    (arrival,) = [Arrival(numbers("t", old=31_000, new=0.0, sort="OUT"), Position("t", 0, 0))]
    (vector,) = vectors(SITE, [arrival])
    assert isinstance(arrival.event, Transaction)
    assert rules.judge(arrival.event, vector.values).reasons
    assert sorts.judge(arrival.event, vector.values).reasons
    assert not rules.judge(arrival.event, np.full_like(vector.values, np.nan)).reasons


def test_model_of_another_declaration_is_refused_in_words(tmp_path: Path) -> None:
    spec = wiring.spec_of(SITE)
    card = registry.Card(
        kind="booster", name="own", created=1, data_hash="", spec_version=spec.version, features=spec.names,
        label_delay=0, seed=0, attrs=declared(SITE).definitions,
    )  # fmt: skip
    registry.save(tmp_path, card, {})
    settings = Settings(model=ModelSection(name="own", folder=str(tmp_path)))
    with pytest.raises(
        ArtifactError, match=r"trained on own columns new \(number\), old \(number\), sort \(category\), drift"
    ):
        wiring.scorer("own", settings, wiring.spec_of(settings).version)
    site = msgspec.structs.replace(settings, attrs=SITE.attrs)
    with pytest.raises(ArtifactError, match="no calibration"):
        wiring.scorer("own", site, spec.version)
    with pytest.raises(ArtifactError, match="no own columns, here there are own columns new"):
        wiring.scorer("demo", site, spec.version)


def test_card_without_own_columns_says_nothing_of_them(tmp_path: Path) -> None:
    card = registry.Card(
        kind="booster", name="plain", created=1, data_hash="", spec_version="x", features=(), label_delay=0, seed=0
    )
    saved = registry.save(tmp_path, card, {})
    assert b"attrs" not in (tmp_path / "plain" / saved.version / "card.json").read_bytes()


@pytest.mark.parametrize("odd", ["", "many"])
def test_rows_and_columns_read_own_values_alike(tmp_path: Path, odd: str) -> None:
    path = file_of(tmp_path, odd)
    table = Table(path, mapping.parse(MAPPING + OWN, "own"))
    fast = list(table.rows())
    with path.open("a") as file:
        file.write('"t999",1700999999,"c","1.00","1","2","IN"\n')  # quotes have a piece read row by row
    slow = Table(path, mapping.parse(MAPPING + OWN, "own"))
    assert list(slow.rows())[:-1] == fast
    assert isinstance(fast[3], Row)
    assert fast[3].tx.attrs == {"old": 30.0, "new": None if odd else 3.75, "sort": None}
    assert table.account.odd() == slow.account.odd() == ({"attrs": {"new many": 1}} if odd else {})


def test_own_numbers_are_read_with_the_marks_of_the_amounts(tmp_path: Path) -> None:
    path = tmp_path / "marks.csv"
    path.write_text("id;time;card;amount;before;after;kind of it\nt;1700000000;c;1,50;31.000,25;NULL;840.0\n")
    text = MAPPING + '[amount]\ndecimal = ","\nthousands = "."\n' + OWN
    (row,) = Table(path, mapping.parse(text, "own")).rows()
    assert isinstance(row, Row)
    assert row.tx.attrs == {"old": 31_000.25, "new": None, "sort": "840"}


def test_row_that_was_repaired_keeps_its_own_values(tmp_path: Path) -> None:
    table = Table(file_of(tmp_path), mapping.parse(MAPPING + OWN, "own"))
    rows = [row for row in table.rows() if isinstance(row, Row)]
    path = tmp_path / "redriven.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(redrive.content_of(row)) + b"\n" for row in rows))
    request = Request(data=path, mapping=redrive.MAPPING, delay=None, settings=SITE, out=None, state=None, every=1)
    again = [row.tx for row in wiring.table(request).rows() if isinstance(row, Row)]
    assert again == [row.tx for row in rows]
