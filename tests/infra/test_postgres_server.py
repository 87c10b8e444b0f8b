"""PostgreSQL of our own: data that outlive it, ends of each kind, what it says when it cannot start."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from infra.services import PostgresServer, ServiceError
from infra.services.__main__ import parse, run
from infra.services.postgres_server import programs


def asked(server: PostgresServer, statement: str) -> object:
    with psycopg.connect(server.url, autocommit=True) as connection:
        found = connection.execute(statement)
        return found.fetchone() if found.description else None


def test_postgres_that_was_killed_comes_back_with_what_was_committed(
    fresh_postgres: Callable[..., PostgresServer],
) -> None:
    server = fresh_postgres()
    asked(server, "CREATE TABLE t AS SELECT 7 AS n")
    held = psycopg.connect(server.url)
    server.kill()
    with pytest.raises(psycopg.OperationalError):
        held.execute("SELECT 1")
    held.close()
    assert server.process.pid is None
    server.start(tied=True)
    assert asked(server, "SELECT n FROM t") == (7,)


def test_postgres_restarted_is_another_process_with_the_same_data(
    fresh_postgres: Callable[..., PostgresServer],
) -> None:
    server = fresh_postgres()
    asked(server, "CREATE TABLE t AS SELECT 7 AS n")
    first = server.process.pid
    server.restart()
    assert server.process.pid not in (first, None)
    assert asked(server, "SELECT n FROM t") == (7,)


def test_postgres_with_a_password_lets_nobody_else_in(fresh_postgres: Callable[..., PostgresServer]) -> None:
    server = fresh_postgres(password="geheim")
    assert asked(server, "SELECT 1") == (1,)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.url.replace("geheim", "falsch"))


def test_postgres_answers_on_its_socket(postgres_server: PostgresServer) -> None:
    with psycopg.connect(host=str(postgres_server.folder), port=postgres_server.port, user="fraud") as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("fraud",)


@pytest.mark.parametrize(("sync", "shown"), [(False, "off"), (True, "on")])
def test_postgres_syncs_when_it_is_asked_to(
    fresh_postgres: Callable[..., PostgresServer], sync: bool, shown: str
) -> None:
    server = fresh_postgres(sync=sync, options={"work_mem": "9MB"})
    assert asked(server, "SELECT current_setting('fsync'), current_setting('work_mem')") == (shown, "9MB")


def test_postgres_that_is_not_installed_is_said_with_the_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD_POSTGRES_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceError, match=r"services\.sh install"):
        programs()


def test_postgres_is_run_by_its_command_line(fresh_postgres: Callable[..., PostgresServer]) -> None:
    server = fresh_postgres()
    words = ["--data", str(server.folder)]
    assert run(parse(["postgres", "status", *words]))["running"] == [server.process.pid]
    assert run(parse(["postgres", "stop", *words])) == {"running": []}
