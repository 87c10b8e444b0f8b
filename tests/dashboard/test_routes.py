"""What the addresses do: twins, where a step goes on, what the desk is asked, invites, exports."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest

from fraud.core.records import HOUR
from fraud.dashboard.routes.table import ROUTES
from fraud.review.people import Role
from fraud.review.views import Given, QueueFilter, QueueQuery, SavedView
from tests.dashboard.sampled import sampled
from tests.dashboard.site import NOW, PASSWORD, RETURNS, Site, site


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Site]:
    made = site(tmp_path)
    yield made
    made.database.close()


PAGES = {
    "/queue": "queue", "/cases/7": "case", "/cases/7/graph": "graph", "/cases/7/timeline": "timeline",
    "/cases/7/trail": "case", "/cases/7/print": "dossier", "/search?q=C1": "search", "/entities/card/~7": "entity",
    "/team": "team", "/model": "model", "/rules": "rules", "/rules/fbc320": "rules",
    "/rules/difference?before=a&after=b": "difference", "/audit": "audit",
}  # fmt: skip


@pytest.mark.parametrize(("path", "name"), PAGES.items())
def test_page_has_a_twin_that_is_the_same_record(console: Site, path: str, name: str) -> None:
    admin = console.person(Role.ADMIN)
    wanted = msgspec.to_builtins(sampled(RETURNS[name]))
    head, _, query = path.partition("?")
    assert admin.json(path) == msgspec.json.decode(msgspec.json.encode(wanted))
    assert admin.get(f"{head}.json?{query}").json() == admin.json(path)
    assert admin.get(path).headers["content-type"].startswith("text/html")


def test_queue_is_asked_as_its_address_says(console: Site) -> None:
    console.person(Role.VIEWER).get("/queue?kind=challenged&order=due&least=50.25&limit=20")
    _, given = console.desk.asked[-1]
    assert given[0] == QueueQuery(kind="challenged", order="due", limit=20, filter=QueueFilter(least=5_025))
    assert given[2] == NOW


def test_verdict_goes_on_to_the_next_case_with_its_undo(console: Site) -> None:
    analyst = console.person(Role.ANALYST)
    form = {"verdict": "fraud", "action": "block_card", "alert": ["4", "5"], "note": "n", "worth": "-1", "seconds": "9"}
    answer = analyst.post("/cases/7/verdict", form)
    assert answer.headers["location"] == "/cases/1?undo=x"
    assert console.desk.asked[-1][1][2] == Given("fraud", "block_card", (4, 5), "n", -1, 0, 9.0)
    twin = analyst.post("/cases/7/verdict", {"verdict": "unsure"}, accept="application/json")
    assert twin.json()["next_case"] == 1


def test_verdict_has_no_default(console: Site) -> None:
    analyst = console.person(Role.ANALYST)
    assert analyst.post("/cases/7/verdict", {}).status_code == 422
    assert console.desk.asked[-1][0] != "decide"


def test_next_goes_to_the_case_of_the_queue_that_was_shown(console: Site) -> None:
    analyst = console.person(Role.ANALYST)
    assert analyst.post("/next", {"kind": "declined"}).headers["location"] == "/cases/7"
    assert console.desk.asked[-1][1][1] == QueueQuery(kind="declined")
    analyst.post("/next", {"kind": "held", "shelf": "second"})
    assert console.desk.asked[-1][1][1] == QueueQuery(shelf="second")
    analyst.post("/next", {"queue": "?shelf=overturned&kind=declined"})
    assert console.desk.asked[-1][1][1] == QueueQuery(kind="declined")


def test_next_and_what_follows_go_on_in_the_order_and_filter_that_were_shown(console: Site) -> None:
    analyst = console.person(Role.ANALYST)
    query = QueueQuery(kind="declined", order="due", filter=QueueFilter(least=5_000, tag="ring 7"))
    taken = "kind=declined&order=due&least=50.00&tag=ring+7"
    case = f"/cases/7?{urlencode({'queue': taken})}"
    assert analyst.post("/next", {"queue": f"?{taken}"}).headers["location"] == case
    assert console.desk.asked[-1][1][1] == query
    analyst.get(case)
    assert console.desk.asked[-1][1][4] == query
    answer = analyst.post("/cases/7/verdict", {"verdict": "fraud", "queue": taken})
    assert answer.headers["location"] == f"/cases/1?{urlencode({'queue': taken, 'undo': 'x'})}"
    assert console.desk.asked[-1][1][4] == query
    assert analyst.post("/cases/7/skip", {"reason": "r", "queue": taken}).headers["location"] == case
    assert console.desk.asked[-1][1][4] == query


def test_queue_that_is_empty_is_where_one_goes_on_at_its_end(console: Site) -> None:
    analyst = console.person(Role.ANALYST)
    console.desk.gives["skip"] = None
    form = {"reason": "r", "queue": "kind=declined&order=due"}
    assert analyst.post("/cases/7/skip", form).headers["location"] == "/queue?kind=declined&order=due"
    assert analyst.post("/cases/7/skip", {"reason": "r"}, accept="application/json").json() == {
        "case": 7,
        "next_case": None,
    }


def test_queue_begins_with_the_view_that_somebody_chose(console: Site) -> None:
    viewer = console.person(Role.VIEWER)
    assert viewer.get("/").headers["location"] == "/queue"
    query = QueueQuery(kind="declined", view=4)
    console.desk.gives["first_view"] = SavedView(4, "mine", query, (), team=False, mine=True, default=True)
    assert viewer.get("/").headers["location"] == "/queue?kind=declined&view=4"


def test_selected_alerts_are_given_and_tagged_from_where_they_were_selected(console: Site) -> None:
    analyst, came = console.person(Role.ANALYST), "http://console.test/queue?kind=declined&undo=x"
    answer = analyst.post("/assign", {"alert": ["1", "2"], "colleague": "0"}, referer=came)
    assert answer.headers["location"] == "/queue?kind=declined"
    assert console.desk.asked[-1] == ("assign", (console.desk.asked[-1][1][0], (1, 2), None, NOW))
    twin = analyst.post("/tags", {"alert": ["1", "2"], "tag": "Ring"}, accept="application/json")
    assert twin.json() == {"alerts": [1, 2], "tag": "Ring", "cases": 3}


def test_columns_are_kept_for_a_person_and_for_a_view(console: Site) -> None:
    viewer = console.person(Role.VIEWER)
    assert viewer.post("/settings/me", {"columns": ["why", "seen", "risk"]}).status_code == 303
    session = console.accounts.session(viewer.cookies["fraud-session"], NOW)
    assert session is not None
    assert session.columns == ("risk", "stake", "card", "why", "seen")
    assert viewer.post("/settings/me", {"columns": ["nothing"]}).status_code == 422
    viewer.post("/views/3", {"columns": ["left"], "default": "1"})
    assert console.desk.named[-1] == {"columns": ["left"], "default": True}


def test_bulk_is_previewed_before_it_is_done(console: Site) -> None:
    analyst = console.person(Role.ANALYST)
    form = {"alert": [str(number) for number in range(1, 201)], "verdict": "genuine"}
    assert "<h1>bulk</h1>" in analyst.post("/bulk", form | {"preview": "1"}).text
    assert [name for name, _ in console.desk.asked if name.startswith("bulk")] == ["bulk_preview"]
    assert analyst.post("/bulk", form).headers["location"] == "/queue?undo=x"
    assert len(console.desk.asked[-1][1][1]) == 200
    assert analyst.post("/bulk", form | {"alert": ["1"] * 2_001}).status_code == 422


def test_rules_go_with_their_list_files(console: Site) -> None:
    analyst = console.person(Role.ANALYST)
    form = {"text": "rule", "list": ["a.txt", "b.txt"], "lines": ["C1", "C2"]}
    assert analyst.post("/rules/check", form).status_code == 200
    assert console.desk.asked[-1][1][1:] == ("rule", {"a.txt": "C1", "b.txt": "C2"})
    assert analyst.post("/rules/check", form | {"lines": ["C1"]}).status_code == 422


def test_saved_view_keeps_the_queue_of_its_address(console: Site) -> None:
    viewer = console.person(Role.VIEWER)
    answer = viewer.post("/views", {"name": "big", "query": "?kind=held&least=500.00", "team": "1"})
    assert answer.headers["location"] == "/queue?view=1&least=500.00"
    assert console.desk.asked[-1][1][1:4] == ("big", QueueQuery(filter=QueueFilter(least=50_000)), True)


def test_export_is_a_file(console: Site) -> None:
    answer = console.person(Role.ANALYST).get("/queue.csv?kind=declined")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="queue.csv"'
    assert answer.text == "card\r\nx\r\n"


def test_invite_makes_one_account_once(console: Site) -> None:
    admin = console.person(Role.ADMIN)
    told = admin.post("/settings/users/invite", {"role": "lead", "email": "lea@example.org"}, accept="application/json")
    path = told.json()["address"].removeprefix("http://console.test")
    lea = console.browser()
    assert "lea@example.org" in lea.get(path).text
    assert lea.post(path, {"name": "Lea", "password": "short"}).status_code == 422
    assert lea.post(path, {"name": "Lea", "password": PASSWORD}).headers["location"] == "/"
    assert lea.get("/team").status_code == 200
    assert console.browser().get(path).status_code == 410


def test_invite_is_good_for_an_hour(console: Site) -> None:
    token = console.accounts.invite(Role.ADMIN, NOW)
    browser = console.browser()
    assert browser.get(f"/invite/{token}").status_code == 200
    console.clock.now = NOW + HOUR
    assert browser.post(f"/invite/{token}", {"name": "A", "email": "a@b.c", "password": PASSWORD}).status_code == 410
    assert console.accounts.nobody()


def test_people_choose_how_pages_look(console: Site) -> None:
    viewer = console.person(Role.VIEWER)
    form = {"theme": "dark", "keys": "0", "zone": "Europe/Berlin"}
    answer = viewer.post("/settings/me", form, referer="http://console.test/cases/7?alert=2")
    assert answer.headers["location"] == "/cases/7?alert=2"
    session = console.accounts.session(viewer.cookies["fraud-session"], NOW)
    assert session is not None
    assert (session.theme, session.keys, session.zone, session.compact) == ("dark", False, "Europe/Berlin", False)
    assert viewer.post("/settings/me", {"zone": "Moon/Base"}).status_code == 422


def test_readiness_says_what_is_missing(console: Site) -> None:
    browser = console.browser()
    assert browser.get("/livez").text == "ok\n"
    assert browser.get("/readyz").text == "ready\n"
    console.health.missing = ["database", "projector"]
    assert browser.get("/readyz").status_code == 503
    assert browser.get("/readyz").text == "waits for database, projector\n"
    assert "fraud_console_viewers" in browser.get("/metrics").text


def test_description_lists_every_route_and_its_records(console: Site) -> None:
    described = console.person(Role.VIEWER).json("/openapi.json")
    there = {(method.upper(), path) for path, steps in described["paths"].items() for method in steps}
    wanted = {(route.method, route.path.replace(":path", "")) for route in ROUTES}
    assert there == wanted
    assert "CaseView" in described["components"]["schemas"]
