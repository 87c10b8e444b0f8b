"""Secrets planted in every setting that has one: no command shows them, whatever goes wrong."""

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from fraud.cli import app
from fraud.core.settings import describe
from streaming.kafka import topics
from streaming.settings import ServiceSettings, read_settings

HUNTER = "hunter2"
NOBODY = "127.0.0.1:1"
"""Nobody listens there."""
PLANTED = {
    "FRAUD_STORE__URL": f"redis://me:{HUNTER}@{NOBODY}/0",
    "FRAUD_CONSOLE__DATABASE": f"postgresql://me:{HUNTER}@{NOBODY}/console",
    "FRAUD_KAFKA__BOOTSTRAP": NOBODY,
    "FRAUD_KAFKA__CLIENT__security_protocol": "SASL_PLAINTEXT",
    "FRAUD_KAFKA__CLIENT__sasl_mechanism": "PLAIN",
    "FRAUD_KAFKA__CLIENT__sasl_plain_username": "me",
    "FRAUD_KAFKA__CLIENT__sasl_plain_password": HUNTER,
    "FRAUD_CARDS__KEY": HUNTER * 8,
    "FRAUD_CONSOLE__OIDC__SECRET": HUNTER,
    "FRAUD_CARDS__PREVIOUS": f'["{HUNTER}-{HUNTER * 8}"]',
}
WORDS: dict[str, list[str]] = {
    "demo": ["--kafka", NOBODY, "--redis", PLANTED["FRAUD_STORE__URL"]],
    "check": ["--bootstrap", NOBODY, "--store", PLANTED["FRAUD_STORE__URL"]],
    "simulate": ["--mapping-example"],
    "dead list": ["--bootstrap", NOBODY],
    "dead show": ["--bootstrap", NOBODY, "x"],
    "dead redrive": ["--bootstrap", NOBODY],
    "token": ["4111111111111111"],
    "models make-key": ["made.key"],
    "rules check": [],
    "run": ["--model", "rules", "--http", "-1"],
}
"""What makes a command go as far as it can: to its error, for most."""


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every command by its words."""
    for name, command in group.commands.items():
        words = (*before, name)
        inner = getattr(command, "commands", None)
        if inner is None or command.invoke_without_command:
            yield " ".join(words), command
        if inner is not None:
            yield from commands(command, words)


COMMANDS = dict(commands(typer.main.get_command(app)))


def given(command: Any) -> list[str]:
    """Return some value for each part of a command that has to be named."""
    found: list[str] = []
    for part in command.params:
        if part.required:
            found += [part.opts[0], "none"] if part.param_type_name == "option" else ["none"]
    return found


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Plant secrets; nobody answers, and nobody is waited for."""
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FRAUD_RULES__MOST_BLOCKED", "0")  # a worker that does not start leaves no thread behind
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(topics, "CONNECT_MS", 100)


def test_every_secret_is_planted() -> None:
    shown = {line.key: line for line in describe(ServiceSettings, read_settings(None))}
    planted = {name.removeprefix("FRAUD_").lower().replace("__", ".") for name in PLANTED}
    assert {key for key, line in shown.items() if line.secret} <= planted
    assert not [line for line in shown.values() if HUNTER in line.value]


@pytest.mark.parametrize("words", COMMANDS)
def test_no_command_shows_a_secret(words: str, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = [*words.split(), *WORDS.get(words, given(COMMANDS[words]))]
    error = ""
    try:
        app(command, standalone_mode=False)
    except (Exception, SystemExit):
        error = traceback.format_exc()
    said = capfd.readouterr()
    assert HUNTER not in error + said.out + said.err
    assert error + said.out + said.err
    written = [path for path in tmp_path.rglob("*") if path.is_file() and HUNTER.encode() in path.read_bytes()]
    assert written == []
