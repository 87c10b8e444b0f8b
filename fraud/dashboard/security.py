"""What every answer carries and every request is held to: headers, cookies, the origin of what is sent."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# With no referrer at all browsers would send `Origin: null` with a form: our own could not be told from others'.
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
TRANSPORT = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
SUFFIX = b".json"
SESSION, FORM, TICKET = "session", "form", "ticket"
"""Names of the cookies: who is signed in; what a form that somebody fills before that has to send along; what a sign-in
by a provider was begun with, and where it goes on."""


class SafeHeaders:
    """Puts the headers on every answer; what names no other way of caching is not cached."""

    def __init__(self, app: ASGIApp, tls: bool) -> None:
        """Wrap an application; behind TLS browsers are told to come by it alone."""
        self._app, self._headers = app, HEADERS | (TRANSPORT if tls else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, sent)


class Twins:
    """Takes `.json` off a path, and notes that JSON is wanted: the twin of a page is the page's own route."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and _asks_for_twin(scope):
            scope.setdefault("state", {})["twin"] = True
            scope = {**scope, "path": scope["path"].removesuffix(SUFFIX.decode())}
        await self._app(scope, receive, send)


def _asks_for_twin(scope: Scope) -> bool:
    """Tell whether a path ends in `.json` as it was sent: a name that ends so has its dot written as %2E."""
    sent: bytes = scope.get("raw_path") or scope["path"].encode()
    return sent.endswith(SUFFIX) and scope["path"].endswith(SUFFIX.decode()) and sent != b"/openapi.json"


class Cookies:
    """Cookies of this console: bound to the host and to TLS where there is any, never to be read by a script."""

    def __init__(self, tls: bool) -> None:
        """Take whether the console is reached over TLS."""
        self._tls, self._prefix = tls, "__Host-" if tls else "fraud-"

    def read(self, cookies: Mapping[str, str], name: str) -> str:
        """Return a cookie's value, empty without one."""
        return cookies.get(self._prefix + name, "")

    def put(self, response: Response, name: str, value: str) -> None:
        """Set a cookie that lasts until the browser is closed; the server ends sessions by its own time."""
        response.set_cookie(self._prefix + name, value, path="/", secure=self._tls, httponly=True, samesite="lax")

    def drop(self, response: Response, name: str) -> None:
        """Take a cookie away."""
        response.delete_cookie(self._prefix + name, path="/", secure=self._tls, httponly=True, samesite="lax")


def origin_of(request: Request, public_url: str, tls: bool) -> str:
    """Return the origin that our own pages have: of the public address, or of the host that was asked for."""
    if public_url:
        parts = urlsplit(public_url)
        return f"{parts.scheme}://{parts.netloc}"
    return f"{'https' if tls else request.url.scheme}://{request.headers.get('host', '')}"


def local_path(wanted: str) -> str:
    r"""Return a path of this console to go on to, `/` for anything else.

    >>> local_path("/cases/7?alert=3"), local_path("https://elsewhere.example"), local_path("//elsewhere.example")
    ('/cases/7?alert=3', '/', '/')
    >>> local_path("/\t/elsewhere.example"), local_path("http://[")  # tabs are passed over by browsers
    ('/', '/')
    """
    plain = wanted.isprintable() and "\\" not in wanted
    return wanted if plain and wanted.startswith("/") and not wanted.startswith("//") else "/"
