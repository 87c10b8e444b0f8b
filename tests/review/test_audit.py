"""The audit log: what was edited, added, removed, cut or written anew is found."""

import pytest
from sqlalchemy import delete, func, select, update

from fraud.core.actions import AuditHead
from fraud.core.errors import SettingsError
from fraud.core.records import DAY, HOUR
from fraud.review import waking
from fraud.review.audit import Audit, Entry, Head, key_of
from fraud.review.database import Database
from fraud.review.tables import audit, outbox
from fraud.review.words import Parcel
from tests.review.seeding import KEY, NOW

LOG = Audit(KEY)


def filled(database: Database, rows: int = 5) -> list[Head]:
    heads = []
    for number in range(rows):
        with database.write() as connection:
            heads.append(LOG.append(connection, NOW + number, "A. Novak", "note.add", f"case/{number}", None, "x"))
    return heads


def faults(database: Database, heads: list[Head] | None = None, log: Audit = LOG) -> list[tuple[int, str]]:
    with database.read() as connection:
        return [(fault.seq, fault.what) for fault in log.verify(connection, heads or []).faults]


def test_log_that_nobody_touched_is_whole(database: Database) -> None:
    heads = filled(database)
    with database.read() as connection:
        found = LOG.verify(connection, heads)
        assert LOG.head(connection) == heads[-1]
    assert (found.rows, found.head, found.faults) == (5, heads[-1], ())


@pytest.mark.parametrize(
    "change",
    [{"actor": "B. Lang"}, {"action": "note"}, {"object": "case/9"}, {"before": ""}, {"after": None}, {"at": NOW + 9}],
)
def test_edited_row_is_found(database: Database, change: dict[str, object]) -> None:
    filled(database)
    with database.write() as connection:
        connection.execute(update(audit).where(audit.c.seq == 3).values(**change))
    assert faults(database) == [(3, "it was changed, or written without the key")]


def test_removed_row_is_found(database: Database) -> None:
    filled(database)
    with database.write() as connection:
        connection.execute(delete(audit).where(audit.c.seq.in_([2, 3])))
    assert faults(database) == [(4, "rows 2 to 3 are gone")]


def test_removed_row_whose_place_another_takes_is_found(database: Database) -> None:
    filled(database)
    with database.write() as connection:
        connection.execute(delete(audit).where(audit.c.seq == 3))
        connection.execute(update(audit).where(audit.c.seq == 4).values(seq=3))
        connection.execute(update(audit).where(audit.c.seq == 5).values(seq=4))
    assert [seq for seq, _ in faults(database)] == [3, 4]


def test_cut_end_is_found_by_a_published_head_alone(database: Database) -> None:
    heads = filled(database)
    with database.write() as connection:
        connection.execute(delete(audit).where(audit.c.seq > 3))
    assert faults(database) == []
    assert faults(database, [heads[3]]) == [(3, "cut: row 4 was published as the newest one, and 3 is")]


def test_whole_log_removed_is_found_by_a_published_head(database: Database) -> None:
    heads = filled(database)
    with database.write() as connection:
        connection.execute(delete(audit))
    assert faults(database, heads[-1:]) == [(0, "cut: row 5 was published as the newest one, and 0 is")]


def test_log_written_anew_with_the_key_is_found_by_a_published_head(database: Database) -> None:
    heads = filled(database)
    with database.write() as connection:
        connection.execute(delete(audit).where(audit.c.seq > 3))
        for number in (3, 4):
            LOG.append(connection, NOW + number, "A. Novak", "note.add", f"case/{number}", None, "y")
    assert faults(database) == []
    assert [seq for seq, _ in faults(database, heads[4:])] == [5]


def test_row_written_without_the_key_is_found(database: Database) -> None:
    filled(database, 2)
    with database.write() as connection:
        Audit(bytes(32)).append(connection, NOW, "A. Novak", "card.reveal", "case/1")
    assert faults(database) == [(3, "it was changed, or written without the key")]


def test_fields_cannot_be_shifted_into_each_other() -> None:
    one, other = Entry(1, "ab", "c", "d", None, None), Entry(1, "a", "bc", "d", None, None)
    assert LOG.mac(1, one, bytes(32)) != LOG.mac(1, other, bytes(32))
    assert LOG.mac(1, one, bytes(32)) != LOG.mac(1, one._replace(before=""), bytes(32))


def test_key_of_another_length_is_refused() -> None:
    with pytest.raises(SettingsError, match="the audit key has 16 bytes, expected 32"):
        Audit(bytes(16))
    with pytest.raises(SettingsError, match="no hexadecimal number"):
        key_of("secret")
    assert key_of(f" {KEY.hex()}\n") == KEY


def test_head_is_published_once_a_day(database: Database) -> None:
    with database.write() as connection:
        assert waking.send_head(connection, NOW) is False
    heads = filled(database)
    sent = []
    for now in (NOW, NOW + HOUR, NOW + DAY):
        with database.write() as connection:
            sent.append(waking.send_head(connection, now))
    assert sent == [True, False, True]
    with database.read() as connection:
        kinds = connection.execute(select(outbox.c.kind, func.count()).group_by(outbox.c.kind)).all()
        bodies = connection.execute(select(outbox.c.body).order_by(outbox.c.seq)).scalars().all()
    assert [tuple(row) for row in kinds] == [(Parcel.AUDIT_HEAD, 2)]
    import msgspec

    told = [msgspec.json.decode(body, type=AuditHead) for body in bodies]
    assert [(head.seq, head.mac, head.at) for head in told] == [(5, heads[-1].mac, NOW), (5, heads[-1].mac, NOW + DAY)]
