"""The console as a process: database, projector, publisher and web server, started together and ended together.

Everything that must not be lost lies in the database, offsets included: a process that is killed goes on where it was.
"""

import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

import msgspec
import uvicorn
from anyio import CapacityLimiter
from fastapi import FastAPI

from fraud.core.errors import SettingsError
from fraud.core.records import SECOND
from fraud.dashboard.app import create_app
from fraud.dashboard.console import Console, Doors
from fraud.dashboard.health import ProcessHealth
from fraud.dashboard.keys import audit_key, code_key
from fraud.dashboard.library import SiteLibrary, SiteReleases, kept_releases
from fraud.dashboard.live import Live
from fraud.dashboard.pages import Pages
from fraud.dashboard.projector import Projector
from fraud.dashboard.publisher import Publisher
from fraud.dashboard.reading import topics_of
from fraud.dashboard.security import Cookies
from fraud.dashboard.wire import DeskWire
from fraud.review.accounts import Accounts
from fraud.review.attempts import Limits
from fraud.review.audit import Audit
from fraud.review.codes import Codes
from fraud.review.database import Database
from fraud.review.desk import Desk
from fraud.review.federation import Federation
from fraud.review.intake.take import Intake
from fraud.review.intake.terms import Terms
from fraud.review.passwords import Passwords
from fraud.review.people import Role
from fraud.review.sessions import Terms as Stay
from fraud.review.tools import Tools
from streaming import clock
from streaming.feeds.topic_log import TopicLog
from streaming.kafka.topics import Topics
from streaming.messages.feed import Feed, Outlet
from streaming.observe.logs import Log
from streaming.settings import ConsoleSection, ServiceSettings, card_numbers

HASHES = 2
"""Passwords that are compared at once: each takes 64 MiB and a core."""
CLOSE_SECONDS = 2
"""How long open pages may take to close; those with live rows never do by themselves."""
JOIN_SECONDS = 10.0


class Lines(NamedTuple):
    """Where records come from, and what makes the way out, which may fail while Kafka is down."""

    feed: Feed
    connect: Callable[[], Outlet]
    topics: Topics


class Opened(msgspec.Struct, frozen=True):
    """What a console says once it listens. `set_up` is a link that makes the first account; empty when there is one."""

    address: str
    set_up: str = ""


# --- what several commands open


@contextmanager
def database_of(section: ConsoleSection) -> Iterator[Database]:
    """Open the database of the settings, ready to be worked with; SQLite's is made, or brought up to date.

    Raises:
        DatabaseError: it does not answer, or PostgreSQL's has other tables than this program expects.
    """
    database = Database(section.database)
    try:
        if database.dialect == "sqlite":
            database.migrate()
        database.need_head()
        yield database
    finally:
        database.close()


def accounts_of(section: ConsoleSection, database: Database, audit: Audit) -> Accounts:
    """Return the accounts of a database."""
    return Accounts(database, Passwords(), stay_of(section), audit.append)


def stay_of(section: ConsoleSection) -> Stay:
    """Return how long somebody stays signed in, and what that takes."""
    limits = Limits(section.tries_account, section.tries_network, section.tries_window)
    return Stay(section.idle, section.session, section.invite, limits, section.second_factor)


def doors_of(section: ConsoleSection, database: Database, audit: Audit, key: bytes) -> Doors:
    """Return all ways in: passwords, codes beside them made with the audit's key, and the provider if there is one.

    Raises:
        SettingsError: the provider of the settings cannot be used.
    """
    stay, provider = stay_of(section), None
    if section.oidc.issuer:
        from fraud.dashboard.oidc import Provider

        provider = Provider(section.oidc, clock.monotonic_ns)
    codes = Codes(database, stay, audit.append, code_key(key))
    return Doors(
        accounts_of(section, database, audit), codes, Federation(database, stay, audit.append), provider,
        CapacityLimiter(HASHES),
    )  # fmt: skip


def link_of(section: ConsoleSection, port: int, token: str) -> str:
    """Return the address of an invite as somebody opens it."""
    return f"{address_of(section, port)}/invite/{token}"


def address_of(section: ConsoleSection, port: int) -> str:
    """Return the address of the console as somebody opens it."""
    host = f"[{section.host}]" if ":" in section.host else section.host
    return section.public_url.rstrip("/") or f"{'https' if section.tls else 'http'}://{host}:{port}"


def lines_of(settings: ServiceSettings, folder: Path | None) -> Lines:
    """Return what is read and written: topics of Kafka, or those of a folder."""
    topics = Topics.of(settings.kafka)
    read = topics_of(topics)
    if folder is not None:
        log = TopicLog(folder)
        return Lines(log.feed(read), log.outlet, topics)
    from streaming.feeds.kafka import KafkaFeed, open_outlet

    return Lines(KafkaFeed(settings.kafka, read), lambda: open_outlet(settings.kafka), topics)


# --- the process


class Workers(NamedTuple):
    """What works beside the web server, each on a thread of its own."""

    projector: Projector
    publisher: Publisher

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let them work while a block runs; what they are doing then is finished."""
        stop = Event()
        threads = [Thread(target=each.run, args=(stop,), daemon=True, name=type(each).__name__) for each in self]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(JOIN_SECONDS)


def serve(settings: ServiceSettings, folder: Path | None, listening: Callable[[Opened], None]) -> None:
    """Run the console until SIGTERM or SIGINT; `folder` is that of an embedded engine's topics, None for Kafka's.

    Raises:
        SettingsError: the port is taken, or the audit's key cannot be used.
        DatabaseError: the database does not answer, or has other tables than this program expects.
    """
    section = settings.console
    with ExitStack() as held:
        database = held.enter_context(database_of(section))
        key = audit_key(Path(section.keys))
        audit = Audit(key)
        workers = workers_of(settings, database, audit, lines_of(settings, folder))
        kept = held.enter_context(kept_releases(settings, embedded=folder is not None))
        library = SiteLibrary(settings, kept)
        releases = SiteReleases(settings, kept, library, embedded=folder is not None)
        cards = card_numbers(settings)
        desk = Desk(Tools(database, audit, settings.review, library, releases, settings.money.base, cards))
        if (rules := library.texts_in_use()) is not None:
            desk.keep_live_rules(*rules, clock.now_ns())
        desk.settle_releases(clock.now_ns())
        app = application(settings, database, desk, doors_of(section, database, audit, key), workers)
        listener, server = held.enter_context(listening_socket(section)), server_of(app, section)
        port = int(listener.getsockname()[1])
        # From before anybody knows of it: who ends it while it begins would be heard by nobody. At its end the web
        # server raises the signal once more, and the workers finish what they do.
        signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
        listening(Opened(address_of(section, port), first_link(app, section, port)))
        held.enter_context(workers.running())
        server.run([listener])


def workers_of(settings: ServiceSettings, database: Database, audit: Audit, lines: Lines) -> Workers:
    """Return what works beside the web server."""
    log = Log("console")
    intake = Intake(database, Terms.of(settings.review, settings.policy.hold), audit.append)
    projector = Projector(database, intake, lines.feed, lines.topics, log)
    return Workers(projector, Publisher(database, lines.connect, lines.topics, log))


def application(settings: ServiceSettings, database: Database, desk: Desk, doors: Doors, workers: Workers) -> FastAPI:
    """Return the web application of a console."""
    section, pages = settings.console, Pages()
    wire = DeskWire(database, desk, pages, settings.money.base, clock.now_ns)
    live = Live(wire, section.poll / SECOND, section.viewers, section.viewers_each)
    health = ProcessHealth(database, workers.projector.figures, workers.publisher.figures, live, wire.heard_at)
    return create_app(Console(desk, doors, pages, live, health, settings, Cookies(section.tls), clock.now_ns))


def first_link(app: FastAPI, section: ConsoleSection, port: int) -> str:
    """Return a link that makes the first account, an administrator's; empty when there is one already."""
    accounts: Accounts = app.state.console.doors.accounts
    return link_of(section, port, accounts.invite(Role.ADMIN, clock.now_ns())) if accounts.nobody() else ""


@contextmanager
def listening_socket(section: ConsoleSection) -> Iterator[socket.socket]:
    """Listen where the settings say; port 0 takes any free one. Raises SettingsError when that cannot be."""
    family = socket.AF_INET6 if ":" in section.host else socket.AF_INET
    try:
        listener = socket.create_server((section.host, section.port), family=family, backlog=512)
    except OSError as error:
        msg = (
            f"{section.host}:{section.port} cannot be listened on ({error.strerror}): stop what has it, or name another"
            " one with --port"
        )
        raise SettingsError(msg) from error
    with listener:
        yield listener


def server_of(app: FastAPI, section: ConsoleSection) -> uvicorn.Server:
    """Return the web server of an application."""
    logging.getLogger("uvicorn.error").addHandler(Told(Log("console")))
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(section.proxies),
            forwarded_allow_ips=section.proxies,
            timeout_graceful_shutdown=CLOSE_SECONDS,
            timeout_keep_alive=75,
        )
    )


class Told(logging.Handler):
    """What the web server has to say, as lines of the log; of an error its kind and place, never its text."""

    def __init__(self, log: Log) -> None:
        """Take where it is written; below a warning nothing is."""
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        error = record.exc_info[1] if record.exc_info else None
        trace = error.__traceback__ if error is not None else None
        places = []
        while trace is not None:
            places.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
            trace = trace.tb_next
        self._log.say(
            "web server",
            level=record.levelname.lower(),
            text=record.getMessage().splitlines()[0][:200],
            error=type(error).__name__ if error is not None else "",
            place=" ".join(places[-6:]),
        )
