"""Every address of the console, with the least role that may ask for it. The application is made of this table."""

from collections.abc import Callable
from typing import Any, NamedTuple

from fraud.dashboard import pages
from fraud.dashboard.routes import cases, leads, people, queue, search, service, sign_in
from fraud.review import case_views, page_views, views
from fraud.review.people import Role

EVENTS, CSV, TEXT, ANY, JSON = (
    "text/event-stream",
    "text/csv",
    "text/plain",
    "application/octet-stream",
    "application/json",
)


class Route(NamedTuple):
    """One address. `role` None: everybody, signed in or not.

    `gives` is the record that is its JSON twin, a media type for what has no twin, or None for a way to another page.
    `active`: whoever asks does something by it; a page asks for the others by itself.
    """

    method: str
    path: str
    role: Role | None
    endpoint: Callable[..., Any]
    gives: type | str | None
    active: bool = True


def get(path: str, role: Role | None, endpoint: Callable[..., Any], gives: type | str | None = None) -> Route:
    """Return the route of a page."""
    return Route("GET", path, role, endpoint, gives)


def post(path: str, role: Role | None, endpoint: Callable[..., Any], gives: type | None) -> Route:
    """Return the route of a step."""
    return Route("POST", path, role, endpoint, gives)


VIEWER, ANALYST, LEAD, ADMIN = Role

ROUTES = (
    get("/", VIEWER, queue.home),
    get("/queue", VIEWER, queue.queue, views.QueuePage),
    get("/queue/live", VIEWER, queue.live, EVENTS)._replace(active=False),
    get("/queue.csv", ANALYST, queue.export, CSV),
    post("/next", ANALYST, queue.take_next, queue.Next),
    post("/views", VIEWER, queue.save_view, views.SavedView),
    post("/views/{view}", VIEWER, queue.change_view, views.SavedView),
    post("/views/{view}/delete", VIEWER, queue.delete_view, queue.Deleted),
    post("/assign", ANALYST, queue.assign, queue.Assigned),
    post("/tags", ANALYST, queue.tag, queue.Tagged),
    post("/bulk", ANALYST, queue.bulk, views.BulkPreview | views.Decided),  # type: ignore[arg-type]
    get("/cases", VIEWER, cases.mine),
    get("/cases/{case}", VIEWER, cases.case, case_views.CaseView),
    get("/cases/{case}/graph", VIEWER, cases.graph, case_views.GraphView),
    get("/cases/{case}/timeline", VIEWER, cases.timeline, views.Timeline),
    get("/cases/{case}/trail", VIEWER, cases.trail, case_views.CaseView)._replace(active=False),
    get("/cases/{case}/print", ANALYST, cases.dossier, case_views.Dossier),
    post("/cases/{case}/verdict", ANALYST, cases.verdict, views.Decided),
    post("/cases/{case}/reopen", ANALYST, cases.reopen, cases.Changed),
    post("/cases/{case}/lock", ANALYST, cases.lock, views.Owner)._replace(active=False),
    post("/cases/{case}/release", ANALYST, cases.release, cases.Changed),
    post("/cases/{case}/skip", ANALYST, cases.skip, cases.Skipped),
    post("/cases/{case}/escalate", ANALYST, cases.escalate, views.Decided),
    post("/cases/{case}/worth", ANALYST, cases.worth, cases.Changed),
    post("/cases/{case}/notes", ANALYST, cases.note, cases.Changed),
    post("/cases/{case}/tags", ANALYST, cases.tag, cases.Changed),
    post("/cases/{case}/reveal", ANALYST, cases.reveal, cases.Revealed),
    post("/undo/{token}", ANALYST, cases.undo, views.Undone),
    get("/search", VIEWER, search.search, views.SearchView),
    get("/entities/{kind}/{name:path}", VIEWER, search.entity, views.EntityView),
    get("/team", LEAD, leads.team, page_views.TeamView),
    get("/model", VIEWER, leads.model, page_views.ModelView),
    get("/rules", VIEWER, leads.rules, page_views.RulesView),
    get("/rules/difference", VIEWER, leads.difference, page_views.RulesDiff),
    get("/rules/{version}", VIEWER, leads.rules_of, page_views.RulesView),
    post("/rules", ANALYST, leads.save, page_views.RuleVersion),
    post("/rules/check", ANALYST, leads.check, page_views.Checked),
    post("/rules/activate", LEAD, leads.activate, page_views.Activated),
    post("/rules/confirm", LEAD, leads.confirm, page_views.Activated),
    post("/rules/withdraw", LEAD, leads.withdraw, leads.Withdrawn),
    post("/rules/rollback", LEAD, leads.roll_back, page_views.Activated),
    post("/settings/me", VIEWER, people.show_as, people.Shown),
    get("/settings/users", ADMIN, people.users, page_views.UsersView),
    post("/settings/users/invite", ADMIN, people.invite, people.Link),
    post("/settings/users/{user}", ADMIN, people.change, people.Account),
    get("/audit", ADMIN, leads.audit, page_views.AuditView),
    get("/settings/second-factor", VIEWER, sign_in.second_factor, pages.SecondFactorView),
    post("/settings/second-factor", VIEWER, sign_in.change_second_factor, pages.SecondFactorView),
    get("/sign-in", None, sign_in.sign_in, pages.SignInView),
    post("/sign-in", None, sign_in.enter, sign_in.SignedIn | sign_in.WaitsFor),  # type: ignore[arg-type]
    get("/sign-in/code", None, sign_in.code_page, pages.CodeView),
    post("/sign-in/code", None, sign_in.confirm, sign_in.SignedIn),
    post("/sign-out", VIEWER, sign_in.leave, sign_in.SignedOut),
    get("/oidc", None, sign_in.begin),
    get("/oidc/back", None, sign_in.back),
    get("/oidc/out", None, sign_in.way_out),
    get("/invite/{token}", None, sign_in.invited, pages.InviteView),
    post("/invite/{token}", None, sign_in.accept, sign_in.SignedIn | sign_in.WaitsFor),  # type: ignore[arg-type]
    get("/livez", None, service.livez, TEXT),
    get("/readyz", None, service.readyz, TEXT),
    get("/metrics", None, service.metrics, TEXT),
    get("/openapi.json", VIEWER, service.openapi, JSON),
    get("/static/{name:path}", None, service.static, ANY),
)
