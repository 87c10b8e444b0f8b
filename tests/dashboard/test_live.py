"""Live rows: each rendered once, resumed from the database, told to those who show them."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from fraud.dashboard.live import RESET, Live, Noted, Told, hears
from fraud.review.people import Role
from fraud.review.tables import entity_id
from fraud.review.views import QueueFilter, QueueQuery, QueueRow
from fraud.review.words import Changed, EntityKind
from tests.dashboard.sampled import sampled
from tests.dashboard.site import SilentWire, Site, listened, site

HELD = QueueQuery()


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Site]:
    made = site(tmp_path)
    yield made
    made.database.close()


def events(text: bytes) -> list[tuple[str, dict[str, object]]]:
    """Return events by name, with their content."""
    found = []
    for part in filter(None, text.decode().split("\n\n")):
        fields = dict(line.split(": ", 1) for line in part.split("\n"))
        found.append((fields["event"], msgspec.json.decode(fields["data"])))
    return found


async def heard(live: Live, after: int | None, query: QueueQuery = HELD, turns: int = 1) -> bytes:
    """Return what a page hears at once and after some polls."""
    watching = live.watch(query, after, lambda: True)
    text = await anext(watching)
    asking = asyncio.ensure_future(anext(watching))
    await asyncio.sleep(0)
    for _ in range(turns):
        await live.turn()
    text += await asking
    await watching.aclose()  # type: ignore[attr-defined]
    return text


def noted(wire: SilentWire, *changes: tuple[int, Changed]) -> None:
    for alert, what in changes:
        wire.noted.append(Noted(len(wire.noted) + 1, alert, what))


def test_page_that_opens_hears_how_much_waits_and_then_what_is_new() -> None:
    wire = SilentWire()
    live = Live(wire, 0.01, 9, 9)

    async def play() -> bytes:
        await live.turn()
        watching = live.watch(HELD, None, lambda: True)
        first = await anext(watching)
        noted(wire, (4, Changed.ADDED), (5, Changed.CHANGED), (6, Changed.GONE))
        await live.turn()
        return first + await anext(watching)

    found = events(asyncio.run(play()))
    assert [name for name, _ in found] == ["counts", "added", "changed", "gone", "counts"]
    assert found[1][1] == {"id": 4, "at_stake": 1}
    assert found[2][1] == {"id": 5, "html": "<tr>5</tr>"}
    assert found[4][1] == {"views": {"held": 3}, "heard_at_age": 0.4}


def test_row_is_rendered_once_for_all_who_look() -> None:
    wire = SilentWire()
    live = Live(wire, 0.01, 99, 99)

    async def play() -> list[bytes]:
        watching = [live.watch(HELD, None, lambda: True) for _ in range(50)]
        for one in watching:
            await anext(one)
        noted(wire, (4, Changed.CHANGED), (4, Changed.CHANGED))
        await live.turn()
        return [await anext(one) for one in watching]

    told = asyncio.run(play())
    assert len(set(told)) == 1
    assert wire.rendered == [4]


def test_alert_that_came_and_changed_between_two_polls_is_still_new() -> None:
    wire = SilentWire()
    live = Live(wire, 0.01, 9, 9)
    noted(wire, (4, Changed.ADDED), (4, Changed.CHANGED), (5, Changed.ADDED), (5, Changed.GONE))
    found = events(asyncio.run(heard(live, 0, turns=0)))
    assert [(name, content.get("id")) for name, content in found[1:3]] == [("added", 4), ("gone", 5)]


def test_page_that_comes_back_hears_what_it_missed_from_the_database() -> None:
    wire = SilentWire()
    noted(wire, *[(number, Changed.CHANGED) for number in range(1, 1_300)])

    async def play() -> bytes:
        live = Live(wire, 0.01, 9, 9)
        watching = live.watch(HELD, 3, lambda: True)
        return b"".join([await anext(watching) for _ in range(4)])

    found = [content["id"] for name, content in events(asyncio.run(play())) if name == "changed"]
    assert found == list(range(4, 1_300))


def test_page_that_was_away_for_too_long_asks_anew() -> None:
    wire = SilentWire()
    wire.kept_from = 10
    noted(wire, *[(number, Changed.CHANGED) for number in range(1, 13)])
    assert RESET in asyncio.run(heard(Live(wire, 0.01, 9, 9), 3, turns=0))


def test_page_that_is_too_slow_asks_anew() -> None:
    wire = SilentWire()
    live = Live(wire, 0.01, 9, 9)

    async def play() -> bytes:
        watching = live.watch(HELD, None, lambda: True)
        await anext(watching)
        for number in range(1, 250):
            noted(wire, (number, Changed.CHANGED))
            await live.turn()
        return await anext(watching)

    assert asyncio.run(play()) == RESET


class HeldWire(SilentWire):
    """A wire whose newest change is told only when it may be; `asked` is set while it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may = threading.Event(), threading.Event()
        self.may.set()

    def last(self) -> int:
        self.asked.set()
        self.may.wait()
        return super().last()


def test_page_that_opens_while_the_newest_change_is_asked_for_is_told_what_comes() -> None:
    wire = HeldWire()
    live = Live(wire, 0.01, 9, 9)

    async def play() -> bytes:
        await live.turn()
        wire.asked.clear()
        wire.may.clear()
        turn = asyncio.ensure_future(live.turn())
        await asyncio.to_thread(wire.asked.wait)
        watching = live.watch(HELD, None, lambda: True)
        await anext(watching)
        noted(wire, (4, Changed.ADDED))
        wire.may.set()
        await turn
        await live.turn()
        return await anext(watching)

    assert ("added", {"id": 4, "at_stake": 1}) in events(asyncio.run(play()))


def test_nothing_is_rendered_while_nobody_looks_and_nobody_is_counted_who_left() -> None:
    wire = SilentWire()
    live = Live(wire, 0.01, 9, 9)

    async def play() -> None:
        watching = live.watch(HELD, None, lambda: True)
        await anext(watching)
        assert live.viewers == 1
        await watching.aclose()  # type: ignore[attr-defined]
        assert live.viewers == 0
        noted(wire, (4, Changed.CHANGED))
        await live.turn()

    asyncio.run(play())
    assert wire.rendered == []


ROW = msgspec.structs.replace(sampled(QueueRow), kind="held", status="open")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (QueueQuery(), True),
        (QueueQuery(kind="declined"), False),
        (QueueQuery(shelf="mine"), False),
        (QueueQuery(filter=QueueFilter(least=1, most=1, channel="x", merchant="x", reason="x", took="x")), True),
        (QueueQuery(filter=QueueFilter(least=2)), False),
        (QueueQuery(filter=QueueFilter(most=0)), False),
        (QueueQuery(filter=QueueFilter(channel="pos")), False),
        (QueueQuery(filter=QueueFilter(merchant="M")), False),
        (QueueQuery(filter=QueueFilter(reason="amount")), False),
        (QueueQuery(filter=QueueFilter(card="C7")), True),
        (QueueQuery(filter=QueueFilter(card="C8")), False),
        (QueueQuery(filter=QueueFilter(tag="x", assignee=1, older_than=4)), True),
        (QueueQuery(filter=QueueFilter(tag="ring")), False),
        (QueueQuery(filter=QueueFilter(assignee=2)), False),
        (QueueQuery(filter=QueueFilter(older_than=5)), False),
    ],
)
def test_new_row_is_told_to_those_in_whose_queue_it_stands(query: QueueQuery, told: bool) -> None:
    card = msgspec.structs.replace(ROW.card, key=f"~{entity_id(EntityKind.CARD, 'C7')}")
    row = msgspec.structs.replace(ROW, card=card)
    at = row.arrived_at + 4
    assert hears(query, Told(row, True, b"", at)) is told
    assert not hears(query, Told(msgspec.structs.replace(row, status="decided"), True, b"", at))
    assert hears(query, Told(row, False, b"", at))


def test_new_row_of_nobody_is_told_to_nobody_who_asks_for_a_person() -> None:
    row = msgspec.structs.replace(ROW, owner=None)
    assert not hears(QueueQuery(filter=QueueFilter(assignee=1)), Told(row, True, b""))
    assert hears(QueueQuery(), Told(row, True, b""))


@pytest.mark.parametrize(("since", "more"), [("0", {"last-event-id": "1"}), ("1", {})])
def test_live_address_streams_from_the_page_on_and_resumes(console: Site, since: str, more: dict[str, str]) -> None:
    viewer = console.person(Role.VIEWER)
    noted(console.wire, (4, Changed.CHANGED), (5, Changed.CHANGED))
    cookie = f"fraud-session={viewer.cookies['fraud-session']}"
    headers = {"host": "console.test", "cookie": cookie, **more}
    status, pieces = asyncio.run(listened(console.app, f"/queue/live?kind=held&since={since}", headers, 2))
    found = events(b"".join(pieces))
    assert status == 200
    assert ("changed", {"id": 5, "html": "<tr>5</tr>"}) in found
    assert all(content.get("id") != 4 for _, content in found)


def test_pages_that_ask_in_one_moment_get_no_more_than_there_is_room_for() -> None:
    async def opened() -> tuple[int, list[bytes]]:
        live = Live(SilentWire(), 0.01, 9, 2)
        watching = [live.watch(HELD, None, lambda: True, "one") for _ in range(20) if live.has_room("one")]
        assert len(watching) == 20, "all were asked before one began"
        first = await asyncio.gather(*(anext(one, b"") for one in watching))
        viewers = live.viewers
        for one in watching:
            await one.aclose()  # type: ignore[attr-defined]
        assert live.viewers == 0
        return viewers, first

    viewers, first = asyncio.run(opened())
    assert (viewers, sum(bool(text) for text in first)) == (2, 2)


def test_live_address_has_room_for_so_many_pages_and_for_so_many_of_one_browser(console: Site) -> None:
    viewer = console.person(Role.VIEWER)
    live, token = console.app.state.console.live, viewer.cookies["fraud-session"]

    async def asked(*sessions: str) -> httpx.Response:
        watching = [live.watch(HELD, None, lambda: True, session) for session in sessions]
        for one in watching:
            await anext(one)
        answer = await asyncio.to_thread(viewer.get, "/queue/live")
        for one in watching:
            await one.aclose()
        return answer

    for sessions in (("a", "b", "c"), (token, token)):
        answer = asyncio.run(asked(*sessions))
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "30"
    assert live.has_room(token)
