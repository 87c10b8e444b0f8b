"""Whatever takes decisions keeps every field of them: what comes back is compared field by field."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec import structs
from pyarrow import parquet
from typer.testing import CliRunner

from features.stores.rowlog.answers import decode, stored
from fraud.cli import app
from fraud.core.records import Answer, Decision, Position
from streaming.files.decisions import WRITERS, FileSink, arrow_schema
from streaming.files.spool import Spool
from streaming.messages import envelope
from tests.filled import filled

DECISION = filled(Decision)
OTHER = structs.replace(
    DECISION, tx_id="other", device=None, reasons=(), parts=(), marks=(), alert=None, model_score=None
)
ANSWERS = [Answer(decision=each, position=Position("transactions", 0, n)) for n, each in enumerate((DECISION, OTHER))]

Back = Callable[[Path], list[Decision]]


def read(path: Path) -> list[Decision]:
    """Return the decisions of a file, by their columns or keys alone."""
    rows = (
        parquet.read_table(path).to_pylist()
        if path.suffix == ".parquet"
        else [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    )
    return [msgspec.convert(row, Decision) for row in rows]


def by_file(suffix: str) -> Back:
    def back(folder: Path) -> list[Decision]:
        sink = FileSink(folder / f"out{suffix}")
        sink.write(ANSWERS, ())
        sink.close()
        sink.publish()
        return read(folder / f"out{suffix}")

    return back


def by_spool(suffix: str) -> Back:
    def back(folder: Path) -> list[Decision]:
        spool = Spool(folder, folder / f"out{suffix}")
        spool.start()
        spool.write(ANSWERS, ())
        spool.length()
        spool.close()
        spool.publish()
        return read(folder / f"out{suffix}")

    return back


def by_kafka(folder: Path) -> list[Decision]:
    messages = [envelope.decision_out(answer, "decisions") for answer in ANSWERS]
    return [envelope.answer_in(message.value, message.headers).decision for message in messages]


def by_first_answer(folder: Path) -> list[Decision]:
    return [decode(stored(answer)).answer.decision for answer in ANSWERS]


OUTPUTS: dict[str, Back] = {
    **{f"file{suffix}": by_file(suffix) for suffix in WRITERS},
    **{f"spool{suffix}": by_spool(suffix) for suffix in WRITERS},
    "kafka": by_kafka,
    "first answer in Redis": by_first_answer,
}


@pytest.fixture(scope="module", params=OUTPUTS)
def back(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Decision]:
    return OUTPUTS[request.param](tmp_path_factory.mktemp("out"))


@pytest.mark.parametrize("name", Decision.__struct_fields__)
def test_field_of_a_decision_comes_back_from_every_output(back: list[Decision], name: str) -> None:
    assert [getattr(each, name) for each in back] == [getattr(DECISION, name), getattr(OTHER, name)]


def test_parquet_has_a_column_a_field() -> None:
    assert arrow_schema().names == list(Decision.__struct_fields__)


@pytest.mark.parametrize("suffix", WRITERS)
def test_explain_shows_every_field(tmp_path: Path, suffix: str) -> None:
    by_file(suffix)(tmp_path)
    words = ["explain", DECISION.tx_id, "--decisions", str(tmp_path / f"out{suffix}")]
    shown = CliRunner().invoke(app, words, catch_exceptions=False).stdout.strip().splitlines()
    assert msgspec.json.decode(shown[-1], type=Decision) == DECISION
    assert [line.split()[0] for line in shown[:-1]] == list(Decision.__struct_fields__)
