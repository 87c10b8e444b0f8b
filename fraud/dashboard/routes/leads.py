"""Team, model, rules: what leads look at, and how rules are changed."""

from typing import Annotated

import msgspec
from fastapi import Query, Request
from starlette.responses import Response

from fraud.dashboard.answers import done, shown
from fraud.dashboard.console import At, Who
from fraud.dashboard.routes.parameters import MOST_WORD, Drafted, Text, Token, Word

Version = Annotated[str, Query(min_length=1, max_length=MOST_WORD)]


class Withdrawn(msgspec.Struct, frozen=True):
    """What does not wait for a second person any more."""

    pending: str


def team(request: Request, at: At, who: Who) -> Response:
    """Show the team's day: what came, what was decided, what waits, who agrees with whom."""
    return shown(request, "team", at.desk.team(who.person, at.now()))


def model(request: Request, at: At, who: Who) -> Response:
    """Show what decides: release, refresh, calibration, drift, stages."""
    return shown(request, "model", at.desk.model(who.person, at.now()))


def rules(request: Request, at: At, who: Who) -> Response:
    """Show the rules in use, and the versions that there were."""
    return shown(request, "rules", at.desk.rules(who.person, at.now()))


def rules_of(request: Request, at: At, who: Who, version: Token) -> Response:
    """Show a version of the rules."""
    return shown(request, "rules", at.desk.rules(who.person, at.now(), version))


def difference(request: Request, at: At, who: Who, before: Version, after: Version) -> Response:
    """Show what differs between two versions of the rules."""
    return shown(request, "rules_difference", at.desk.difference(who.person, before, after))


def check(request: Request, at: At, who: Who, rules: Drafted) -> Response:
    """Compile rules without keeping them: every fault with line and column."""
    return shown(request, "rules_faults", at.desk.check(who.person, rules.text, rules.lists))


def save(request: Request, at: At, who: Who, rules: Drafted, note: Text = "") -> Response:
    """Keep rules as a version, which decides nothing yet."""
    saved = at.desk.save_rules(who.person, rules.text, rules.lists, note, at.now())
    return done(request, saved, f"/rules/{saved.version}")


def activate(request: Request, at: At, who: Who, version: Word, note: Text = "") -> Response:
    """Activate a version of the rules as a release, or ask a second person to."""
    return done(request, at.desk.activate(who.person, version, note, at.now()), f"/rules/{version}")


def confirm(request: Request, at: At, who: Who, pending: Word) -> Response:
    """Agree, as the second person, to what another has asked for."""
    activated = at.desk.confirm_activation(who.person, pending, at.now())
    return done(request, activated, f"/rules/{activated.rules}")


def withdraw(request: Request, at: At, who: Who, pending: Word) -> Response:
    """Take back what waits for a second person."""
    at.desk.withdraw_activation(who.person, pending, at.now())
    return done(request, Withdrawn(pending), "/rules")


def roll_back(request: Request, at: At, who: Who, release: Word, note: Text = "") -> Response:
    """Activate an earlier release again, or ask a second person to."""
    activated = at.desk.rollback(who.person, release, note, at.now())
    return done(request, activated, f"/rules/{activated.rules}")


def audit(request: Request, at: At, who: Who, after: Annotated[str, Query(max_length=20)] = "") -> Response:
    """Show who did what, newest first."""
    return shown(request, "audit", at.desk.audit(who.person, at.now(), after))
