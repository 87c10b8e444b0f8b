"""The application: the table of routes behind one guard, with safe headers around everything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from fastapi import Depends, FastAPI
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response

from fraud.dashboard.answers import HANDLERS
from fraud.dashboard.console import Console
from fraud.dashboard.described import answers_of, describe
from fraud.dashboard.guard import MOST_FIELDS, Guard
from fraud.dashboard.routes.table import ROUTES, Route
from fraud.dashboard.security import SafeHeaders, Twins

MOST_BODY = 2 * 1024 * 1024
"""Rules with their lists are the largest thing that anybody sends."""
GZIP_LEVEL, GZIP_FROM = 6, 500
ABOUT = (
    "Each page has its JSON twin: `.json` behind the path, or `Accept: application/json`. What is sent goes as a form "
    "with field `csrf` (or header `X-CSRF-Token`) and an `Origin` of this console."
)


def create_app(console: Console) -> FastAPI:
    """Return the application of one console; its live rows are polled while it runs."""
    app = FastAPI(
        title="fraud console",
        version="1",
        description=ABOUT,
        openapi_url=None,
        lifespan=_polled,
        exception_handlers=HANDLERS,  # type: ignore[arg-type]
        form_limits={"max_files": 0, "max_fields": MOST_FIELDS},
        middleware=[
            Middleware(SafeHeaders, tls=console.settings.console.tls),
            Middleware(RequestBodyLimitMiddleware, max_body_size=MOST_BODY),
            Middleware(GZipMiddleware, minimum_size=GZIP_FROM, compresslevel=GZIP_LEVEL),
            Middleware(Twins),
        ],
    )
    app.state.console = console
    for route in ROUTES:
        add(app, route)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    return app


def add(app: FastAPI, route: Route) -> None:
    """Put a route behind its guard."""
    app.add_api_route(
        route.path,
        route.endpoint,
        methods=[route.method],
        name=route.endpoint.__name__,
        operation_id=f"{route.method.lower()} {route.path}",
        response_model=None,
        response_class=Response,
        responses=answers_of(route),
        dependencies=[Depends(Guard(route.role, active=route.active))],
    )


@asynccontextmanager
async def _polled(app: FastAPI) -> AsyncIterator[None]:
    console: Console = app.state.console
    polling = asyncio.create_task(console.live.run())
    try:
        yield
    finally:
        polling.cancel()
        with suppress(asyncio.CancelledError):
            await polling
