"""The rules' page: versions and their texts, what each rule has found, faults in place, and the difference of two."""

import hashlib
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, and_, func, select
from sqlalchemy import case as when
from sqlalchemy.dialects import postgresql, sqlite

from fraud.core.errors import CardNumberError
from fraud.core.records import DAY
from fraud.core.rules.faults import RulesError
from fraud.core.rules.ruleset import RuleSet, compile_rules
from fraud.review.agreement import share_of
from fraud.review.errors import InvalidError, UnknownError
from fraud.review.model_page import live_release, releases_of
from fraud.review.page_views import (
    Checked,
    DiffLine,
    FaultRow,
    ListUse,
    PendingOrder,
    RulesDiff,
    RulesView,
    RuleUse,
    RuleVersion,
)
from fraud.review.people import Person, Role
from fraud.review.rights import need
from fraud.review.rows import UNKNOWN, people_of
from fraud.review.tables import alert, payment, reason, release, rule_version, verdict
from fraud.review.tools import Tools
from fraud.review.truths import OF_ALERT, is_fraud
from fraud.review.words import ReleaseState

FILE = "rules.fr"
RULE = "rule:"
MONTH = 30 * DAY
MOST_VERSIONS, MOST_FAULTS = 50, 50
LONGEST = 200_000
"""Characters of a rule text with its lists, at most."""
SITE = "the site"
"""The author of rules that were in use before anybody wrote any here."""


class Found(NamedTuple):
    """What a rule has found in 30 days."""

    hits: int = 0
    cards: int = 0
    known: int = 0
    frauds: int = 0
    rated: int = 0
    wasted: int = 0


def rules_page(tools: Tools, who: Person, now: int, version: str = "") -> RulesView:
    """Return a version of the rules, the live one unless another is asked for, with what may be done with it.

    Raises:
        UnknownError: when there is no such version.
    """
    live = tools.library.in_use().rules
    with tools.database.read() as connection:
        versions = _versions(connection, live)
        chosen = version or live or (versions[0].version if versions else "")
        row = connection.execute(select(rule_version).where(rule_version.c.version == chosen)).first()
        if row is None and version not in ("", live):
            msg = f"there is no version {version!r} of the rules here"
            raise UnknownError(msg)
        text, lists = ("", {}) if row is None else (row.text, dict(row.lists))
        checked, rules = looked_at(tools, text, lists)
        history = releases_of(tools, connection)
        mine = next((each for each in versions if each.version == chosen), None)
        return RulesView(
            version=chosen,
            live=live,
            text=text,
            lists=lists,
            author="" if mine is None else mine.author,
            at=0 if mine is None else mine.at,
            note="" if mine is None else mine.note,
            parent="" if mine is None else mine.parent,
            checked=checked,
            uses=() if rules is None else _uses(connection, rules, now),
            list_uses=() if rules is None else tuple(ListUse(each.name, str(each)) for each in rules.lists),
            versions=versions,
            pending=pending_orders(connection, who),
            needs_second=tools.settings.rules_second,
            can_activate=who.role >= Role.LEAD and tools.releases is not None,
            release=live_release(tools, history),
        )


def check(tools: Tools, who: Person, text: str, lists: Mapping[str, str]) -> Checked:
    """Return what the compiler says of a rule text.

    Raises:
        ForbiddenError: for the role.
        InvalidError: for a text that is too long, or holds a card number and there is no key for its token.
    """
    need(who, Role.ANALYST, "check rules")
    _need_short(text, lists)
    text, lists = _known(tools, text, lists)
    return looked_at(tools, text, lists)[0]


def save(tools: Tools, who: Person, text: str, lists: Mapping[str, str], note: str, now: int) -> RuleVersion:
    """Keep a rule text as a version, faulty or not; the same text is the same version.

    Raises:
        ForbiddenError: for the role.
        InvalidError: for a text that is too long, or holds a card number and there is no key for its token.
    """
    need(who, Role.ANALYST, "write rules")
    _need_short(text, lists)
    text, lists = _known(tools, text, lists)
    checked, _ = looked_at(tools, text, lists)
    with tools.database.write() as connection:
        values = {"text": text, "lists": dict(lists), "author": who.id, "at": now, "note": note.strip(),
                  "parent": tools.library.in_use().rules, "faults": msgspec.to_builtins(checked.faults)}  # fmt: skip
        if _keep(connection, checked.version, values):
            tools.audit.append(connection, now, who.name, "rules.save", f"rules/{checked.version}", None, note.strip())
        row = connection.execute(select(rule_version).where(rule_version.c.version == checked.version)).one()
        people = people_of(connection, [row.author])
    return _version(row, people, tools.library.in_use().rules)


def keep_live(tools: Tools, text: str, lists: Mapping[str, str], now: int) -> str:
    """Keep the rules that are in use as a version, where they are not yet; return the version."""
    checked, _ = looked_at(tools, text, lists)
    with tools.database.write() as connection:
        keep_text(connection, checked.version, text, lists, now)
    return checked.version


def keep_text(connection: Connection, version: str, text: str, lists: Mapping[str, str], now: int) -> None:
    """Keep rules of the site under their version, where they are not yet."""
    values: dict[str, Any] = {"text": text, "lists": dict(lists), "author": None, "at": now, "faults": []}
    _keep(connection, version, values)


def difference(tools: Tools, before: str, after: str) -> RulesDiff:
    """Return the difference of two versions, line by line, their lists behind the rules.

    Raises:
        UnknownError: when one is not there.
    """
    with tools.database.read() as connection:
        rows = text_of(connection, before), text_of(connection, after)
    one, other = (lines_of(row.text, dict(row.lists)) for row in rows)
    return RulesDiff(before, after, tuple(_lines(one, other)))


def text_of(connection: Connection, version: str) -> Row[Any]:
    """Return a version with its text; raise UnknownError when it is not there."""
    row = connection.execute(select(rule_version).where(rule_version.c.version == version)).first()
    if row is None:
        msg = f"there is no version {version!r} of the rules here"
        raise UnknownError(msg)
    return row


def looked_at(tools: Tools, text: str, lists: Mapping[str, str]) -> tuple[Checked, RuleSet | None]:
    """Return what the compiler says of a text, and the rules where it has no faults."""
    try:
        rules = compile_rules(text, tools.library.vocabulary(), FILE, lists)
    except RulesError as error:
        faults = tuple(
            FaultRow(fault.line, fault.column, fault.width, fault.message, fault.source,
                     "" if fault.name == FILE else fault.name)
            for fault in error.faults[:MOST_FAULTS]
        )  # fmt: skip
        return Checked(draft_of(text, lists), (), (), faults), None
    return Checked(rules.version, tuple(map(str, rules.rules)), tuple(map(str, rules.lists)), ()), rules


def draft_of(text: str, lists: Mapping[str, str]) -> str:
    """Return what a text with faults is called: the compiler gives no version to one."""
    whole = msgspec.json.encode([text, *sorted(lists.items())])
    return "draft-" + hashlib.sha256(whole).hexdigest()[:12]


def pending_orders(connection: Connection, who: Person) -> tuple[PendingOrder, ...]:
    """Return the activations that wait for a second person, the oldest first."""
    waits = select(release).where(release.c.state == int(ReleaseState.DRAFT)).order_by(release.c.at)
    rows = connection.execute(waits).all()
    people = people_of(connection, [row.by for row in rows])
    return tuple(
        PendingOrder(row.id, row.rules, people.get(row.by, UNKNOWN), row.by, row.at, row.by == who.id,
                     release=row.report_id)
        for row in rows
    )  # fmt: skip


def lines_of(text: str, lists: Mapping[str, str]) -> list[str]:
    """Return a version as lines: its rules, then each list file under its name."""
    files = [line for name in sorted(lists) for line in (f"# file {name}", *lists[name].splitlines())]
    return [*text.splitlines(), *files]


def _lines(one: Sequence[str], other: Sequence[str]) -> list[DiffLine]:
    found: list[DiffLine] = []
    for _, begin, end, start, stop in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if one[begin:end] == other[start:stop]:
            found += [DiffLine(" ", begin + at + 1, start + at + 1, line) for at, line in enumerate(one[begin:end])]
        else:
            found += [DiffLine("-", begin + at + 1, 0, line) for at, line in enumerate(one[begin:end])]
            found += [DiffLine("+", 0, start + at + 1, line) for at, line in enumerate(other[start:stop])]
    return found


def _known(tools: Tools, text: str, lists: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Return rules and their lists with cards as payments name them; raise InvalidError where a number is refused."""
    try:
        return tools.cards.text(text, FILE), {name: tools.cards.text(lines, name) for name, lines in lists.items()}
    except CardNumberError as error:
        raise InvalidError(str(error)) from error


def _need_short(text: str, lists: Mapping[str, str]) -> None:
    size = len(text) + sum(map(len, lists.values()))
    if size > LONGEST:
        msg = f"the rules and their lists have {size} characters: expected at most {LONGEST}"
        raise InvalidError(msg)


def _keep(connection: Connection, version: str, values: Mapping[str, Any]) -> bool:
    """Write a version where it is not there yet; tell whether it was not."""
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    written = make(rule_version).values(version=version, **values).on_conflict_do_nothing()
    return connection.execute(written.returning(rule_version.c.version)).first() is not None


def _versions(connection: Connection, live: str) -> tuple[RuleVersion, ...]:
    columns = [rule_version.c[name] for name in ("version", "author", "at", "note", "parent", "faults")]
    rows = connection.execute(select(*columns).order_by(rule_version.c.at.desc()).limit(MOST_VERSIONS)).all()
    people = people_of(connection, [row.author for row in rows])
    return tuple(_version(row, people, live) for row in rows)


def _version(row: Row[Any], people: Mapping[int, str], live: str) -> RuleVersion:
    author = SITE if row.author is None else people.get(row.author, UNKNOWN)
    return RuleVersion(row.version, author, row.at, row.note, row.parent, row.version == live, bool(row.faults))


def _uses(connection: Connection, rules: RuleSet, now: int) -> tuple[RuleUse, ...]:
    codes = [RULE + rule.name for rule in rules.rules]
    found, alone = _found(connection, codes, now), _alone(connection, codes, now)
    beside = _beside(connection, codes, now)
    return tuple(
        RuleUse(
            name=rule.name,
            text=str(rule),
            hits=(one := found.get(RULE + rule.name, Found())).hits,
            precision=share_of(one.frauds, one.known),
            cards=one.cards,
            alone=alone.get(RULE + rule.name, 0),
            not_worth=share_of(one.wasted, one.rated),
            overlap=beside.get(RULE + rule.name, ("", 0))[0],
            overlap_count=beside.get(RULE + rule.name, ("", 0))[1],
        )
        for rule in rules.rules
    )


def _found(connection: Connection, codes: Sequence[str], now: int) -> dict[str, Found]:
    known = is_fraud()
    worth = (
        select(verdict.c.alert_id, func.min(verdict.c.worth_review).label("worth"))
        .where(verdict.c.superseded_by.is_(None), verdict.c.at > now - MONTH)
        .group_by(verdict.c.alert_id)
        .subquery()
    )
    asked = (
        select(
            reason.c.code, func.count(), func.count(alert.c.card.distinct()), func.count(known),
            func.sum(when((known, 1), else_=0)), func.count(worth.c.worth),
            func.sum(when((worth.c.worth == -1, 1), else_=0)),
        )
        .join(alert, alert.c.id == reason.c.alert_id)
        .outerjoin(payment, OF_ALERT)
        .outerjoin(worth, worth.c.alert_id == alert.c.id)
        .where(reason.c.code.in_(codes), alert.c.arrived_at > now - MONTH)
        .group_by(reason.c.code)
    )  # fmt: skip
    return {code: Found(*(int(value or 0) for value in rest)) for code, *rest in connection.execute(asked)}


def _alone(connection: Connection, codes: Sequence[str], now: int) -> dict[str, int]:
    """Return in how many alerts each rule was the only one."""
    single = (
        select(func.min(reason.c.code).label("code"))
        .join(alert, alert.c.id == reason.c.alert_id)
        .where(reason.c.code.in_(codes), alert.c.arrived_at > now - MONTH)
        .group_by(reason.c.alert_id)
        .having(func.count() == 1)
        .subquery()
    )
    rows = connection.execute(select(single.c.code, func.count()).group_by(single.c.code))
    return {code: count for code, count in rows}


def _beside(connection: Connection, codes: Sequence[str], now: int) -> dict[str, tuple[str, int]]:
    """Return which other rule each spoke most often together with, and how often."""
    one, other = reason.alias("one"), reason.alias("other")
    asked = (
        select(one.c.code, other.c.code, func.count())
        .join(other, and_(other.c.alert_id == one.c.alert_id, other.c.code != one.c.code))
        .join(alert, alert.c.id == one.c.alert_id)
        .where(one.c.code.in_(codes), other.c.code.in_(codes), alert.c.arrived_at > now - MONTH)
        .group_by(one.c.code, other.c.code)
    )
    found: dict[str, tuple[str, int]] = {}
    for code, with_code, count in sorted(connection.execute(asked), key=lambda row: (row[2], row[1])):
        found[code] = with_code.removeprefix(RULE), count
    return found
