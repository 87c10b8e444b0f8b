"""Schemathesis against the console as it describes itself, over real HTTP."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from fraud.dashboard.described import describe
from fraud.dashboard.routes.table import ROUTES, Route
from fraud.dashboard.security import SESSION
from fraud.review.people import Role
from tests.dashboard.site import PASSWORD, Site, site

AWAY = {"/queue/live", "/sign-in", "/sign-out", "/invite/{token}", "/static/{name:path}"}
"""Endless, or who is signed in changes by it; `test_routes` and `test_security` ask for these one by one."""
REFUSALS = {"checks": {"negative_data_rejection": {"expected-statuses": ["403", "404", "413", "422"]}}}
"""What is wrong is refused by one of these; 413 is what is so wrong that it is not read to its end."""
LISTS_IN_FORMS = {"/rules", "/rules/check"}
"""A form has words only: what is no list there is a list of one, so nothing that is wrong can be sent for one."""
ASKED = [route for route in ROUTES if route.path not in AWAY]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str, dict[str, str]]]:
    """Serve a console, and yield it with its address and what an administrator's browser sends."""
    made = site(tmp_path_factory.mktemp("served"))
    server = uvicorn.Server(uvicorn.Config(made.app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    token = made.accounts.accept(
        made.accounts.invite(Role.ADMIN, made.clock.now), "Ada", "ada@example.org", PASSWORD, made.clock.now
    ).token
    session = made.accounts.session(token, made.clock.now)
    assert session is not None
    headers = {"cookie": f"fraud-{SESSION}={token}", "origin": address, "x-csrf-token": session.csrf}
    assert httpx.get(f"{address}/queue.json", headers=headers).status_code == 200
    yield made, address, headers
    server.should_exit = True
    thread.join(10)
    made.database.close()


@pytest.fixture(scope="module")
def described(served: tuple[Site, str, dict[str, str]]) -> Any:
    found = schemathesis.openapi.from_dict(describe(served[0].app), config=SchemathesisConfig.from_dict(REFUSALS))
    found.config.update(base_url=served[1])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("route", ASKED, ids=lambda route: f"{route.method} {route.path}")
def test_console_answers_as_it_says(
    served: tuple[Site, str, dict[str, str]], described: Any, route: Route, mode: GenerationMode
) -> None:
    left_out = [positive_data_acceptance]
    if route.path in LISTS_IN_FORMS:
        left_out.append(negative_data_rejection)
    operation = described[route.path.replace(":path", "")][route.method]
    session = requests.Session()

    # What is well formed can still be refused by what is there: a version, a zone, a token that nobody has given out.
    @settings(max_examples=10, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(session=session, headers=served[2], excluded_checks=left_out)

    with session, suppress(Unsatisfiable):  # a step without parameters cannot be asked wrongly
        ask()


def test_describes_the_paths_that_are_left_out(tmp_path: Path) -> None:
    made = site(tmp_path)
    assert "/queue/live" in describe(made.app)["paths"]
    made.database.close()
