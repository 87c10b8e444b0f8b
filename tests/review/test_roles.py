"""Who may what, asked of every function of the desk: a role too low is refused and changes nothing."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from fraud.review.database import Database
from fraud.review.desk import Desk
from fraud.review.errors import ForbiddenError, ReviewError
from fraud.review.people import Role
from fraud.review.views import Given, QueueQuery
from tests.review.left import content
from tests.review.seeding import NOW, Site, alerted, case_of, site_of

Call = Callable[[Desk, Any, int, int], Any]
QUERY, GIVEN = QueueQuery(), Given(verdict="fraud", action="none")
LEAST: dict[str, tuple[Role, Call]] = {
    "queue": (Role.VIEWER, lambda desk, who, case, alert: desk.queue(QUERY, who, NOW)),
    "row": (Role.VIEWER, lambda desk, who, case, alert: desk.row([alert], who, NOW)),
    "badges": (Role.VIEWER, lambda desk, who, case, alert: desk.badges(who, NOW)),
    "csv": (Role.ANALYST, lambda desk, who, case, alert: desk.csv(QUERY, who, NOW)),
    "save_view": (Role.VIEWER, lambda desk, who, case, alert: desk.save_view(who, "mine", QUERY, False, NOW)),
    "first_view": (Role.VIEWER, lambda desk, who, case, alert: desk.first_view(who)),
    "next": (Role.ANALYST, lambda desk, who, case, alert: desk.next(who, "held", NOW)),
    "lock": (Role.ANALYST, lambda desk, who, case, alert: desk.lock(who, case, NOW)),
    "renew": (Role.ANALYST, lambda desk, who, case, alert: desk.renew(who, case, NOW)),
    "let_go": (Role.ANALYST, lambda desk, who, case, alert: desk.let_go(who, case, NOW)),
    "skip": (Role.ANALYST, lambda desk, who, case, alert: desk.skip(who, case, "why", NOW)),
    "assign": (Role.ANALYST, lambda desk, who, case, alert: desk.assign(who, [alert], None, NOW)),
    "case": (Role.VIEWER, lambda desk, who, case, alert: desk.case(case, who, NOW)),
    "graph": (Role.VIEWER, lambda desk, who, case, alert: desk.graph(case, who, NOW)),
    "timeline": (Role.VIEWER, lambda desk, who, case, alert: desk.timeline(case, who, NOW, "")),
    "dossier": (Role.ANALYST, lambda desk, who, case, alert: desk.dossier(case, who, NOW)),
    "decide": (Role.ANALYST, lambda desk, who, case, alert: desk.decide(who, case, GIVEN, NOW)),
    "escalate": (Role.ANALYST, lambda desk, who, case, alert: desk.escalate(who, case, "why", NOW)),
    "reopen": (Role.ANALYST, lambda desk, who, case, alert: desk.reopen(who, case, "why", NOW)),
    "worth": (Role.ANALYST, lambda desk, who, case, alert: desk.worth(who, case, 1, NOW)),
    "note": (Role.ANALYST, lambda desk, who, case, alert: desk.note(who, case, "text", NOW)),
    "tag": (Role.ANALYST, lambda desk, who, case, alert: desk.tag(who, case, "ring", NOW)),
    "reveal": (Role.ANALYST, lambda desk, who, case, alert: desk.reveal(who, case, NOW)),
    "reveal_entity": (Role.ANALYST, lambda desk, who, case, alert: desk.reveal_entity(who, 1, NOW)),
    "bulk_preview": (Role.ANALYST, lambda desk, who, case, alert: desk.bulk_preview(who, [alert], "fraud", "", NOW)),
    "bulk": (Role.ANALYST, lambda desk, who, case, alert: desk.bulk(who, [alert], "fraud", "", NOW)),
    "tag_all": (Role.ANALYST, lambda desk, who, case, alert: desk.tag_all(who, [alert], "ring", NOW)),
    "search": (Role.VIEWER, lambda desk, who, case, alert: desk.search(who, "tx1", NOW)),
    "entity": (Role.VIEWER, lambda desk, who, case, alert: desk.entity(who, "merchant", "M000234", NOW)),
    "team": (Role.LEAD, lambda desk, who, case, alert: desk.team(who, NOW)),
    "model": (Role.VIEWER, lambda desk, who, case, alert: desk.model(who, NOW)),
    "rules": (Role.VIEWER, lambda desk, who, case, alert: desk.rules(who, NOW)),
    "check": (Role.ANALYST, lambda desk, who, case, alert: desk.check(who, "", {})),
    "save_rules": (Role.ANALYST, lambda desk, who, case, alert: desk.save_rules(who, "", {}, "", NOW)),
    "difference": (Role.VIEWER, lambda desk, who, case, alert: desk.difference(who, "a", "b")),
    "activate": (Role.LEAD, lambda desk, who, case, alert: desk.activate(who, "a", "", NOW)),
    "confirm_activation": (Role.LEAD, lambda desk, who, case, alert: desk.confirm_activation(who, "a", NOW)),
    "withdraw_activation": (Role.LEAD, lambda desk, who, case, alert: desk.withdraw_activation(who, "a", NOW)),
    "rollback": (Role.LEAD, lambda desk, who, case, alert: desk.rollback(who, "a", "", NOW)),
    "audit": (Role.ADMIN, lambda desk, who, case, alert: desk.audit(who, NOW)),
}
ELSEWHERE = {
    "undo": "whose step it is decides: test_undo_is_refused_after_its_time_to_others_and_a_second_time",
    "change_view": "whose view it is decides: test_saved_views_are_ones_own_or_the_teams",
    "delete_view": "whose view it is decides: test_saved_views_are_ones_own_or_the_teams",
    "keep_live_rules": "nobody asks for it: it runs at the start",
    "settle_releases": "nobody asks for it: the console settles what one that was killed began",
}
NAMES = {Role.VIEWER: "vera", Role.ANALYST: "anna", Role.LEAD: "lea", Role.ADMIN: "ada"}


@pytest.fixture
def site(database: Database) -> Site:
    return site_of(database)


def test_every_function_of_the_desk_has_its_role_in_the_table() -> None:
    functions = {name for name, _ in inspect.getmembers(Desk, inspect.isfunction) if not name.startswith("_")}
    assert functions == LEAST.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("name", LEAST)
def test_role_too_low_is_refused_and_changes_nothing(site: Site, name: str) -> None:
    least, call = LEAST[name]
    alert = alerted(site, 1)
    case = case_of(site, alert)
    before = content(site)
    for role in (role for role in Role if role < least):
        with pytest.raises(ForbiddenError, match=f"expected at least {least.word}"):
            call(site.desk, site[NAMES[role]], case, alert)
    assert content(site) == before
    refused = False
    try:
        call(site.desk, site[NAMES[least]], case, alert)
    except ReviewError as error:
        refused = isinstance(error, ForbiddenError)
    assert not refused
