"""What the console answers, as OpenAPI has it: records by msgspec's own schemas, refusals as problems."""

from types import UnionType
from typing import Any, get_args

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from fraud.dashboard.answers import JSON, PROBLEM, Problem
from fraud.dashboard.routes.table import ROUTES, Route

PLACE = "#/components/schemas/{name}"
TEXT: dict[str, Any] = {"schema": {"type": "string"}}
PAGE = {"text/html": TEXT}


def answers_of(route: Route) -> dict[int | str, dict[str, Any]]:
    """Return what a route may answer."""
    refusal = {PROBLEM: {"schema": {"$ref": PLACE.format(name="Problem")}}, **PAGE, "text/plain": TEXT}
    found: dict[int | str, dict[str, Any]] = {
        "4XX": {"description": "Refused: the sentence says why, and what to do.", "content": refusal},
        "5XX": {"description": "Not possible now: nothing was done.", "content": refusal},
    }
    if isinstance(route.gives, str):
        found[200] = {
            "description": "What was asked for.",
            "content": {route.gives: TEXT if "json" not in route.gives else {}},
        }
    elif route.gives is not None:
        found[200] = {"description": "The record, or the page that shows it.", "content": _record(route.gives) | PAGE}
    if route.method == "POST" or route.gives is None:
        found[303] = {"description": "The page where one goes on.", "content": {}}
    return found


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an application made of the table."""
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        found.setdefault("components", {}).setdefault("schemas", {}).update(_components())
        app.openapi_schema = found
    return app.openapi_schema


def _record(gives: Any) -> dict[str, Any]:
    names = [{"$ref": PLACE.format(name=kind.__name__)} for kind in _kinds(gives)]
    return {JSON: {"schema": names[0] if len(names) == 1 else {"anyOf": names}}}


def _kinds(gives: Any) -> tuple[type, ...]:
    return get_args(gives) if isinstance(gives, UnionType) else (gives,)


def _components() -> dict[str, Any]:
    kinds = {kind for route in ROUTES if not isinstance(route.gives, str | None) for kind in _kinds(route.gives)}
    _, components = msgspec.json.schema_components(
        [Problem, *sorted(kinds, key=lambda kind: kind.__name__)], ref_template=PLACE
    )
    return components
