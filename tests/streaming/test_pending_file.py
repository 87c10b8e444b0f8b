"""The file of waiting items: bytes an item, room given back, upgrades in place, and vectors to the last bit."""

import sqlite3
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.errors import StateError
from fraud.core.pending import Claim, Pending
from fraud.core.records import DAY, Action, Arrival, Label, LabelSource, Level, Position, Verdict, Versions
from fraud.simulate import fdh
from streaming.labels import pending as module
from streaming.labels.journal import SqliteJournal
from streaming.labels.packing import Forms, item_in, packed, packed_item, unpacked
from streaming.labels.pending import LAYOUT, SqlitePending, key_of
from tests.tree import ROOT

BYTES_AN_ITEM, BYTES_LEARNED, BYTES_SETTLED = 440, 500, 170
"""Of the 1,129 that it was with the first layout; `BYTES_LEARNED` with what the learning loop has said of it."""
FIRST = """
CREATE TABLE items (tx_id TEXT PRIMARY KEY, deadline INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX items_due ON items (deadline, tx_id);
CREATE TABLE early (number INTEGER PRIMARY KEY, tx_id TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
INSERT INTO numbers VALUES ('layout', 1), ('watermark', 77);
"""


@pytest.fixture(scope="module")
def items() -> list[Pending]:
    """Waiting items of simulated payments, their vectors as they were scored."""
    extractor = OnlineExtractor(MemoryStore())
    traffic = fdh.generate(fdh.Fdh(cards=60, terminals=60, days=30, seed=5, radius=30.0))
    found = []
    for number, tx in enumerate(traffic.transactions()):
        extractor.open([Arrival(tx, Position("t", 0, number))])
        vector = extractor.look(tx)
        extractor.absorb(tx, None)
        extractor.close([])
        found.append(
            Pending(
                tx_id=tx.id,
                version=0,
                card=tx.card,
                merchant=tx.merchant,
                device=tx.device,
                paid_at=tx.happened_at,
                base_amount=tx.base_amount,
                unusual=False,
                deadline=tx.happened_at + 45 * DAY,
                score=0.125,
                action=Action.CHALLENGE if number % 50 == 0 else Action.APPROVE,
                level=Level.FULL,
                parts=(("base", -number / 7), ("exit", 0.0)),
                versions=Versions("demo@60ab89d9fa6b", "0123456789ab", "cost-0123456789ab", "0123456789ab"),
                vector=vector.astype("<f4").tobytes(),
            )
        )
    return found[:3_000]


LATER = "action", "level", "parts", "versions", "claims", "silent_at", "released_at", "due_at"


def known_then(item: Pending) -> dict[str, object]:
    """Return an item as the first layout's release wrote it, settled by a fraud."""
    fields = {name: value for name, value in msgspec.structs.asdict(item).items() if name not in LATER}
    return fields | {"verdict": "fraud", "verdict_at": 7}


def read_now(item: Pending) -> Pending:
    """Return what of an item of the first layout is known after its upgrade."""
    fields = {name: value for name, value in msgspec.structs.asdict(item).items() if name not in LATER}
    return Pending(**fields, claims=(Claim(LabelSource.CHARGEBACK, Verdict.FRAUD, 0, 7),))


def first_layout(path: Path, items: list[Pending]) -> None:
    """Write a file as the first layout had it."""
    db = sqlite3.connect(path)
    db.executescript(FIRST)
    rows = [(item.tx_id, item.deadline, msgspec.msgpack.encode(known_then(item))) for item in items]
    db.executemany("INSERT INTO items VALUES (?, ?, ?)", rows)
    early = Label(tx_id="before", verdict=Verdict.FRAUD, happened_at=5, seen_at=6)
    db.execute("INSERT INTO early (tx_id, body) VALUES (?, ?)", ("before", msgspec.msgpack.encode(early)))
    db.commit()
    db.close()


def fill(store: SqlitePending, items: list[Pending]) -> None:
    """Put each item three times, under names of their own; close the file."""
    for number in range(3):
        for item in items:
            store.put(msgspec.structs.replace(item, tx_id=f"{number}-{item.tx_id}"))
    store.commit()
    store.close()


def size(path: Path) -> int:
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))


# --- packing ---------------------------------------------------------------------------------------------------------

BITS = st.one_of(st.sampled_from([0, 0x7FC00000, 0x80000000, 0x7F800000, 0x7FC00001]), st.integers(0, 2**32 - 1))
VALUES = st.one_of(BITS, st.integers(0, 300).map(lambda n: int(np.float32(n).view(np.uint32))))


@given(arrays.arrays("<u4", st.integers(0, 200), elements=VALUES))
def test_a_vector_comes_back_to_the_last_bit_whatever_it_holds(
    bits: "np.ndarray[tuple[int], np.dtype[np.uint32]]",
) -> None:
    assert unpacked(packed(bits.tobytes())) == bits.tobytes()


@given(st.binary(max_size=40))
def test_bytes_that_are_no_vector_come_back_too(some: bytes) -> None:
    assert unpacked(packed(some)) == some


def test_an_item_comes_back_with_all_it_holds(items: list[Pending]) -> None:
    claim, due = Claim(LabelSource.ANALYST, Verdict.WITHDRAWN, 2, 7), items[0].deadline
    settled = msgspec.structs.replace(items[0], claims=(claim,), device="d", due_at=due + 9, released_at=8)
    silent = msgspec.structs.replace(items[0], silent_at=due, vector=b"")
    late = msgspec.structs.replace(silent, silent_at=due + 5, due_at=due + 9)
    forms = Forms({}, lambda body: len(body))
    for item in (*items[:100], settled, silent, late):
        assert item_in(packed_item(item, forms), forms) == item


def test_items_of_many_learned_versions_share_one_form(items: list[Pending]) -> None:
    kept: list[bytes] = []

    def add(body: bytes) -> int:
        kept.append(body)
        return len(kept)

    forms = Forms({}, add)
    for seq in range(50):
        versions = Versions("m", "s", "p", "r", f"{seq}-abcdef01")
        item = msgspec.structs.replace(items[0], versions=versions)
        assert item_in(packed_item(item, forms), forms) == item
    assert len(kept) == 1


# --- the file --------------------------------------------------------------------------------------------------------


def test_an_item_takes_a_third_of_what_it_took(items: list[Pending], tmp_path: Path) -> None:
    store = SqlitePending(tmp_path / "waiting.db")
    fill(store, items)
    assert size(tmp_path / "waiting.db") / (3 * len(items)) < BYTES_AN_ITEM


def test_what_was_said_of_an_item_takes_sixty_bytes_more(items: list[Pending], tmp_path: Path) -> None:
    store = SqlitePending(tmp_path / "waiting.db")
    said = (0.1, 0.2, 0.3, 0.4, -1.0, 26_000_000.0)
    fill(store, [msgspec.structs.replace(item, said=said, mature_at=item.paid_at + 7 * DAY) for item in items])
    assert size(tmp_path / "waiting.db") / (3 * len(items)) < BYTES_LEARNED


def test_file_of_the_second_layout_goes_on_in_place(items: list[Pending], tmp_path: Path) -> None:
    path = tmp_path / "waiting.db"
    store = SqlitePending(path)
    store.put(items[0])
    store.set_number("layout", 2)
    store.write("DROP TABLE journal")
    store.commit()
    store.close()
    store = SqlitePending(path)
    assert store.number("layout") == LAYOUT
    assert store.get(items[0].tx_id) == items[0]
    SqliteJournal(store).put("kind", 1, b"body")
    store.commit()
    store.close()
    assert SqliteJournal(SqlitePending(path)).rows("kind") == [(1, b"body")]


def test_what_has_come_due_gives_its_room_back(items: list[Pending], tmp_path: Path) -> None:
    store = SqlitePending(tmp_path / "waiting.db")
    fill(store, items)
    full = size(tmp_path / "waiting.db")
    store = SqlitePending(tmp_path / "waiting.db")
    assert len(list(store.due(2**62))) == 3 * len(items)
    for turn in range(30):
        store.set_number("watermark", turn)
        store.commit()
    store.close()
    assert size(tmp_path / "waiting.db") < full / 2


def test_ids_of_one_hash_are_told_apart(items: list[Pending], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "key_of", lambda tx_id: 7)
    store = SqlitePending(tmp_path / "waiting.db")
    for item in items[:3]:
        store.put(item)
    assert [store.get(item.tx_id) for item in items[:4]] == [*items[:3], None]
    assert len(store) == 3


def test_keys_stay_as_they_are_on_disk() -> None:
    assert key_of("t1") == key_of("t1") != key_of("t2")
    assert -(2**63) <= key_of("t1") < 2**63


# --- upgrades --------------------------------------------------------------------------------------------------------


def test_a_file_of_the_first_layout_is_upgraded_in_place_and_shrinks(items: list[Pending], tmp_path: Path) -> None:
    path = tmp_path / "waiting.db"
    first_layout(path, items)
    before = size(path)
    store = SqlitePending(path)
    assert [store.get(item.tx_id) for item in items] == [read_now(item) for item in items]
    assert (len(store), store.number("watermark"), store.number("layout")) == (len(items), 77, LAYOUT)
    assert [label.tx_id for label in store.early("before")] == ["before"]
    store.close()
    assert size(path) < before / 2
    assert SqlitePending(path).get(items[0].tx_id) == read_now(items[0])


def test_an_upgrade_that_was_cut_off_goes_on(
    items: list[Pending], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "waiting.db"
    first_layout(path, items)
    left = iter(range(1_500))

    def fails(item: Pending, forms: Forms) -> bytes:
        next(left)
        return packed_item(item, forms)

    monkeypatch.setattr(module, "packed_item", fails)
    with pytest.raises(StopIteration):
        SqlitePending(path)
    monkeypatch.undo()
    store = SqlitePending(path)
    assert [store.get(item.tx_id) for item in items] == [read_now(item) for item in items]
    assert len(store) == len(items)


def test_a_file_of_a_later_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "waiting.db"
    store = SqlitePending(path)
    store.set_number("layout", LAYOUT + 1)
    store.commit()
    store.close()
    with pytest.raises(StateError, match=f"layout {LAYOUT + 1}"):
        SqlitePending(path)


def test_the_size_told_in_the_documents_is_the_size(items: list[Pending]) -> None:
    del items
    told = (ROOT / "docs" / "delivery.md").read_text()
    assert f"{BYTES_AN_ITEM} bytes" in told
    assert f"{BYTES_LEARNED} where" in told


def test_an_item_of_the_release_before_is_read_with_what_it_knew(items: list[Pending], tmp_path: Path) -> None:
    """Of this layout too, but without what came after the verdict's time; early labels stood alone."""
    path = tmp_path / "waiting.db"
    store = SqlitePending(path)
    store.put(read_now(items[0]))
    store.commit()
    store.close()
    db = sqlite3.connect(path)
    (body,) = db.execute("SELECT body FROM items").fetchone()
    before = [*msgspec.msgpack.decode(body)[:11], "fraud", 7]
    db.execute("UPDATE items SET body = ?", (msgspec.msgpack.encode(before),))
    early = Label(tx_id="before", verdict=Verdict.FRAUD, happened_at=5, seen_at=6)
    db.execute("INSERT INTO early (tx_id, body) VALUES (?, ?)", ("before", msgspec.msgpack.encode(early)))
    db.commit()
    db.close()
    store = SqlitePending(path)
    assert store.get(items[0].tx_id) == read_now(items[0])
    assert (store.early("before"), store.early_held()) == ((early,), 1)
    store.close()


def test_a_settled_item_without_its_vector_takes_little(items: list[Pending], tmp_path: Path) -> None:
    store = SqlitePending(tmp_path / "waiting.db")
    settled = [msgspec.structs.replace(item, vector=b"", parts=(), versions=None, silent_at=item.deadline,
                                       due_at=item.paid_at + 180 * DAY) for item in items]  # fmt: skip
    fill(store, settled)
    assert size(tmp_path / "waiting.db") / (3 * len(items)) < BYTES_SETTLED
