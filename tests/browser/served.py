"""Pages of filled views behind a small server, under the console's own policy; what is sent is noted."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page

from fraud.dashboard.pages import Pages, Reader
from tests.dashboard.shown import Shown, every_page, reader, scene

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
Open = Callable[..., Page]
"""Opens a page: its path, a width, what else the browser is told."""
PARTS = ("row", "graph", "timeline", "trail", "rules_faults")


class Served(ThreadingHTTPServer):
    """Serve every page under `/_/NAME` and under its own path; events are what a test puts in `events`."""

    daemon_threads = True

    def __init__(self, who: Reader | None = None) -> None:
        """Render for one reader."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.who = Pages(), who or reader()
        self.shown = {shown.file: shown for shown in every_page()}
        self.by_path = {urlsplit(shown.path).path: shown for shown in reversed(self.shown.values())}
        self.sent: list[tuple[str, Mapping[str, list[str]]]] = []
        self.events: list[bytes] = []
        self.news = threading.Event()
        self.closing = threading.Event()
        self.undo = ""

    @property
    def address(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def tell(self, event: str, number: int, data: str) -> None:
        """Tell open pages of something."""
        self.events.append(f"event: {event}\nid: {number}\ndata: {data}\n\n".encode())
        self.news.set()

    def text_of(self, shown: Shown) -> str:
        """Return a page as it is served."""
        fields: dict[str, Any] = {"undo": self.undo, "flash": "Fraud, for 1 payment."} if self.undo else {}
        return self.pages.render(shown.name, shown.view, scene(shown, self.who, **fields))


class Handler(BaseHTTPRequestHandler):
    """Answer one request."""

    server: Served
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with a page, a static file or events."""
        path = urlsplit(self.path).path
        if path.startswith("/static/"):
            file = self.server.pages.static / path.removeprefix("/static/")
            self._answer(200, KINDS[file.suffix], file.read_bytes())
        elif path == "/":
            self._answer(303, "text/plain", b"", {"Location": "/queue"})
        elif path == "/queue/live":
            self._stream()
        elif shown := self.server.shown.get(path.removeprefix("/_/")) or self.server.by_path.get(path):
            self._answer(200, "text/html; charset=utf-8", self.server.text_of(shown).encode())
        else:
            self._answer(404, "text/plain", b"nothing here")

    def do_POST(self) -> None:
        """Note what was sent, and go to the next case."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path
        self.server.sent.append((path, parse_qs(body.decode(), keep_blank_values=True)))
        if path.endswith("/reveal"):
            self._answer(200, "application/json", b'{"text": "C000121"}')
        elif path == "/rules/check":
            part = self.server.shown["rules_faults"]
            self._answer(200, "text/html; charset=utf-8", self.server.text_of(part).encode())
        elif path.endswith("/verdict") and "json" in self.headers["Accept"]:
            self._answer(200, "application/json", b'{"undo": "t0ken", "next_case": 8}')
        else:
            self._answer(303, "text/plain", b"", {"Location": "/cases/7" if "verdict" in path else "/queue"})

    def _answer(self, status: int, kind: str, body: bytes, more: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        told = 0
        try:
            while not self.server.closing.is_set():
                for event in self.server.events[told:]:
                    self.wfile.write(event)
                    told += 1
                self.wfile.flush()
                self.server.news.wait(0.05)
                self.server.news.clear()
        except OSError:
            pass
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(who: Reader | None = None) -> Iterator[Served]:
    """Serve until left."""
    with Served(who) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
