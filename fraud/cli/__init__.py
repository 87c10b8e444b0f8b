"""The command line: what people type.

Heavy imports happen inside commands, so that help is instant.
"""

import os
import sys
import threading
import traceback

import typer

from fraud.cli import (
    audit,
    check,
    console,
    dead,
    demo,
    evaluate,
    explain,
    inspect,
    labels,
    learn,
    models,
    refresh,
    release,
    replay,
    rules,
    run,
    settings,
    simulate,
    state,
    token,
    topics,
    train,
)
from fraud.core.errors import FraudError

HELP = """Detect payment fraud in real time: score a stream, replay a history through the same code, train on it.

A first look: fraud demo. On your own data: fraud replay --help, fraud train --help.
Results go to standard output, the last line as JSON; progress goes to standard error.
Exit status: 0 done, 1 a check failed, 2 wrong use, 130 interrupted.
"""

app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command("demo")(demo.demo)
app.command("replay")(replay.replay)
app.command("simulate")(simulate.simulate)
app.command("inspect")(inspect.inspect)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("settings")(settings.settings)
app.command("check")(check.check)
app.command("explain")(explain.explain)
app.command("token")(token.token)
app.add_typer(models.app, name="models")
app.command("run")(run.run)
app.command("learn")(learn.learn)
app.add_typer(refresh.app, name="refresh")
app.add_typer(labels.app, name="labels")
app.add_typer(release.app, name="release")
app.add_typer(topics.app, name="topics")
app.add_typer(state.app, name="state")
app.add_typer(rules.app, name="rules")
app.add_typer(dead.app, name="dead")
app.add_typer(console.app, name="console")
app.add_typer(audit.app, name="audit")


def main() -> None:
    """Run the command line; a foreseen error is one message on standard error and the exit status of its kind.

    That is 2 where somebody has to mend something first, and 3 where it may be well when the process is started again.

    One that nobody foresaw ends the process at once, with its traceback and status 1, on whatever thread: what waits
    for it must not wait for threads that a client has left, such as a standby for the lock that this process holds.
    """
    threading.excepthook = end_with_thread
    try:
        app()
    except FraudError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        traceback.print_exc()
        end_at_once()


def end_with_thread(fault: threading.ExceptHookArgs) -> None:
    """End the process with a thread that nobody expected to end; those that outlive the main one end with it anyway."""
    if threading.main_thread().is_alive():
        traceback.print_exception(fault.exc_type, fault.exc_value, fault.exc_traceback)
        end_at_once()


def end_at_once() -> None:
    """End the process with status 1, waiting for no thread."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
