"""`fraud check`, `fraud explain`: is everything there, and why was this decided."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from fraud.cli import options, output
from fraud.core.errors import DataError, FraudError, StateError

if TYPE_CHECKING:
    from streaming.settings import ServiceSettings


def check(
    bootstrap: Annotated[str | None, typer.Option("--bootstrap", help="Also ask this Kafka for its topics.")] = None,
    store: Annotated[str | None, typer.Option("--store", help="Also ask this state store.")] = None,
    model: options.ModelName = None,
    models: options.Models = None,
    rules: options.Rules = None,
    settings: options.SettingsFile = None,
    prefix: Annotated[str | None, typer.Option("--prefix", help="What stands before the topics' names.")] = None,
) -> None:
    """Check that everything a run needs is there; each line says what to do. The last line is 'ready'.

    Without --bootstrap and --store only what a replay needs is looked at: model, features, policy, rules.
    """
    found = options.service(
        settings, bootstrap=bootstrap, store=store, prefix=prefix, model=model, models=models, rules=rules
    )
    parts: dict[str, Callable[[], str]] = {"embedded": lambda: embedded(found)}
    if bootstrap is not None:
        parts["kafka"] = lambda: topics_there(found)
    if store is not None:
        parts["store"] = lambda: store_sound(found)
    fine = [told(name, look) for name, look in parts.items()]
    if not all(fine):
        raise typer.Exit(1)
    output.show("ready")


def told(name: str, look: Callable[[], str]) -> bool:
    """Show one part's state; return whether it is sound."""
    try:
        output.show(f"{name:<9} ok      {look()}")
    except FraudError as error:
        output.show(f"{name:<9} FAILED  {error}")
        return False
    return True


def embedded(settings: "ServiceSettings") -> str:
    """Return model, spec, policy and rules; raise FraudError when one is missing or faulty."""
    from streaming.wiring import build

    parts = build(settings)
    strategy, features = parts.strategy, f"{len(parts.extractor.names)} features (spec {parts.extractor.version})"
    return (
        f"model {strategy.scorer.version}, {features}, policy {strategy.policy.version}, rules {strategy.rules.version}"
    )


def topics_there(settings: "ServiceSettings") -> str:
    """Return what Kafka holds; raise SettingsError when it does not answer or a topic is missing."""
    from streaming.kafka import topics

    names = list(topics.Topics.of(settings.kafka))
    topics.ids(settings.kafka, names)
    return f"{len(names)} topics at {settings.kafka.bootstrap}"


def store_sound(settings: "ServiceSettings") -> str:
    """Return the store's name; raise FraudError when it does not answer, or is set up so that it may lose state."""
    from streaming.service_wiring import open_store

    store = open_store(settings)
    try:
        if faults := list(store.faults()):
            raise StateError("; ".join(faults))
        return f"state born {store.birth}"
    finally:
        store.close()


def explain(
    tx_id: Annotated[str, typer.Argument(help="The transaction's id.")],
    decisions: Annotated[Path, typer.Option("--decisions", help="Decisions that fraud replay --out wrote.")],
) -> None:
    """Show why one transaction was decided as it was: the reasons stored with the decision."""
    row = find(decisions, tx_id)
    if row is None:
        msg = f"{decisions} holds no decision on '{tx_id}'"
        raise DataError(msg)
    for key, value in row.items():
        output.show(f"{key:<13} {value}")
    output.last_line(row)


def find(path: Path, tx_id: str) -> dict[str, Any] | None:
    """Return the newest version's decision on a transaction."""
    if not path.exists():
        msg = f"{path} does not exist: make it with fraud replay --out {path}"
        raise DataError(msg)
    if path.suffix == ".parquet":
        from pyarrow import parquet

        rows = parquet.read_table(path, filters=[("tx_id", "=", tx_id)]).to_pylist()
    else:
        with path.open("rb") as file:
            rows = [row for line in file if (row := msgspec.json.decode(line))["tx_id"] == tx_id]
    return max(rows, key=lambda row: row["version"], default=None)
