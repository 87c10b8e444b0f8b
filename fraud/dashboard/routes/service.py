"""What machines ask: whether the console lives and is ready, its figures, its files, what it answers."""

from pathlib import Path

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from fraud.dashboard.console import At

FOR_EVER, AGAIN = "public, max-age=31536000, immutable", "no-cache"
METRICS = "text/plain; version=0.0.4; charset=utf-8"


async def livez() -> Response:
    """Say that the process answers."""
    return PlainTextResponse("ok\n")


def readyz(at: At) -> Response:
    """Say whether the console can work: database, tables, projector, publisher."""
    waits = ", ".join(at.health.waits_for())
    return PlainTextResponse(f"waits for {waits}\n", 503) if waits else PlainTextResponse("ready\n")


def metrics(at: At) -> Response:
    """Return figures in Prometheus's text format."""
    return Response(at.health.metrics(), media_type=METRICS)


def static(request: Request, at: At, name: str) -> Response:
    """Return a file that pages load; one that is asked for by its hash is kept by browsers for ever."""
    folder = at.pages.static.resolve()
    try:
        path: Path = (folder / name).resolve()
        found = path.is_relative_to(folder) and path.is_file()
    except OSError:  # longer than any file's name
        found = False
    if not found:
        raise HTTPException(404)
    exact = f"/static/{name}?v={request.query_params.get('v', '')}" == at.pages.asset(name)
    return FileResponse(path, headers={"Cache-Control": FOR_EVER if exact else AGAIN})


async def openapi(request: Request) -> Response:
    """Return what this console answers, as OpenAPI has it."""
    return JSONResponse(request.app.openapi())
