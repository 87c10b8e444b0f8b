"""What people write beside verdicts: notes, tags, whether a look was worth it; and a card's number when asked for."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from fraud.review.case_views import NoteView
from fraud.review.changes import noted
from fraud.review.errors import InvalidError, UnknownError
from fraud.review.people import Person, Role
from fraud.review.picking import case_row, need_within
from fraud.review.rights import need
from fraud.review.rows import UNDECIDED
from fraud.review.tables import alert, entity, note, tag, verdict
from fraud.review.tools import Tools
from fraud.review.words import Changed, EntityKind

LONGEST_NOTE, LONGEST_TAG, MOST_TAGS = 4_000, 32, 12
UNSEEN = {
    number: None
    for number in (*range(0x20), 0x7F, *range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    if chr(number) not in "\t\r\n"
}
"""Characters that nobody sees: control characters, and those that make what follows run the other way."""


def add_note(tools: Tools, who: Person, number: int, text: str, now: int) -> NoteView:
    """Write a note on a case.

    Raises:
        InvalidError: for an empty or too long one.
        UnknownError: when there is no such case.
    """
    need(who, Role.ANALYST, "write notes")
    text = text.translate(UNSEEN).strip()
    if not 0 < len(text) <= LONGEST_NOTE:
        msg = f"the note has {len(text)} characters: expected 1 to {LONGEST_NOTE}"
        raise InvalidError(msg)
    with tools.database.write() as connection:
        row = case_row(connection, number)
        values = {"case_id": number, "card_id": row.card_id, "by": who.id, "at": now, "text": text}
        written = connection.execute(insert(note).values(**values).returning(note.c.id)).scalar_one()
        # The text may hold what has to be erased one day; the log, which is never changed, names the note alone.
        tools.audit.append(connection, now, who.name, "note.add", f"case/{number}", None, f"note/{written}")
    return NoteView(int(written), who.name, now, text)


def set_tag(tools: Tools, who: Person, number: int, name: str, now: int, *, remove: bool = False) -> None:
    """Tag a case, or take a tag away; one that is there already stays.

    Raises:
        InvalidError: for an empty or too long one, or too many.
        UnknownError: when there is no such case.
    """
    need(who, Role.ANALYST, "tag cases")
    name = tag_of(name)
    with tools.database.write() as connection:
        case_row(connection, number, hold=True)
        if _set(tools, connection, who, number, name, now, remove=remove):
            noted(connection, _undecided(connection, number), Changed.CHANGED, now)


def tag_all(tools: Tools, who: Person, alerts: Sequence[int], name: str, now: int) -> int:
    """Tag the cases of some alerts; return how many cases that are."""
    need(who, Role.ANALYST, "tag cases")
    need_within(tools, who, len(alerts))
    name = tag_of(name)
    with tools.database.write() as connection:
        chosen = select(alert.c.case_id).where(alert.c.id.in_(alerts)).distinct()
        cases = sorted(number for (number,) in connection.execute(chosen))
        for number in cases:
            _set(tools, connection, who, number, name, now, remove=False)
        noted(connection, sorted(alerts), Changed.CHANGED, now)
    return len(cases)


def set_worth(tools: Tools, who: Person, number: int, value: int, now: int) -> None:
    """Say of one's newest verdicts on a case whether the look was worth it: 1 or -1.

    Raises:
        InvalidError: for another value.
        UnknownError: when one has given none.
    """
    need(who, Role.ANALYST, "judge alerts")
    if value not in (-1, 1):
        msg = f"worth is {value}: expected 1 (worth a look) or -1 (not)"
        raise InvalidError(msg)
    with tools.database.write() as connection:
        mine = (verdict.c.case_id == number) & (verdict.c.by == who.id) & verdict.c.superseded_by.is_(None)
        changed = connection.execute(update(verdict).where(mine).values(worth_review=value))
        if not changed.rowcount:
            msg = f"you have given no verdict on case {number}"
            raise UnknownError(msg)
        tools.audit.append(connection, now, who.name, "verdict.worth", f"case/{number}", None, str(value))


def reveal(tools: Tools, who: Person, number: int, now: int) -> str:
    """Return the whole number of a case's card; that somebody has seen it is in the audit log before they do."""
    need(who, Role.ANALYST, "see whole card numbers")
    with tools.database.write() as connection:
        row = case_row(connection, number)
        name = connection.execute(select(entity.c.name).where(entity.c.id == row.card_id)).scalar_one()
        tools.audit.append(connection, now, who.name, "card.reveal", f"case/{number}", None, f"card/{row.card_id}")
    return str(name)


def reveal_entity(tools: Tools, who: Person, card: int, now: int) -> str:
    """Return the whole number of a card by its entity's number, audited as `reveal` is.

    Raises:
        UnknownError: when there is no such card.
    """
    need(who, Role.ANALYST, "see whole card numbers")
    with tools.database.write() as connection:
        mine = (entity.c.id == card) & (entity.c.kind == int(EntityKind.CARD))
        name = connection.execute(select(entity.c.name).where(mine)).scalar()
        if name is None:
            msg = f"there is no card {card}"
            raise UnknownError(msg)
        tools.audit.append(connection, now, who.name, "card.reveal", f"card/{card}", None, f"card/{card}")
    return str(name)


def plain_tag(text: str) -> str:
    """Return a text as a tag is written: lower case, one space between words."""
    return " ".join(text.translate(UNSEEN).split()).lower()


def tag_of(text: str) -> str:
    """Return a tag as it is kept; raise InvalidError for none."""
    found = plain_tag(text)
    if not 0 < len(found) <= LONGEST_TAG:
        msg = f"the tag has {len(found)} characters: expected 1 to {LONGEST_TAG}"
        raise InvalidError(msg)
    return found


def _set(tools: Tools, connection: Connection, who: Person, number: int, name: str, now: int, *, remove: bool) -> bool:
    """Set or remove a tag; tell whether that changed anything."""
    has = [each for (each,) in connection.execute(select(tag.c.name).where(tag.c.case_id == number))]
    if (name in has) is not remove:
        return False
    if remove:
        connection.execute(delete(tag).where(tag.c.case_id == number, tag.c.name == name))
    elif len(has) >= MOST_TAGS:
        msg = f"case {number} has {MOST_TAGS} tags: take one away first"
        raise InvalidError(msg)
    else:
        connection.execute(insert(tag).values(case_id=number, name=name, by=who.id, at=now))
    action = "tag.remove" if remove else "tag.add"
    tools.audit.append(connection, now, who.name, action, f"case/{number}", None, name)
    return True


def _undecided(connection: Connection, number: int) -> list[int]:
    chosen = select(alert.c.id).where(alert.c.case_id == number, alert.c.status.in_(UNDECIDED))
    return sorted(each for (each,) in connection.execute(chosen))
