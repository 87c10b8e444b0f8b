"""`fraud check`: is everything there."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from fraud.cli import options, output
from fraud.core.errors import FraudError, StateError

if TYPE_CHECKING:
    from streaming.settings import ServiceSettings


def check(
    bootstrap: Annotated[str | None, typer.Option("--bootstrap", help="Also ask this Kafka for its topics.")] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="Also ask this state store; of its password see fraud run --help.")
    ] = None,
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
    from fraud.core.releases import release_in
    from streaming.service_wiring import open_store

    store = open_store(settings)
    try:
        if faults := list(store.faults()):
            raise StateError("; ".join(faults))
        live = release_in(store.in_use()[1])
        return f"state born {store.birth}, {(live and f'release {live.id} in force') or 'no release in force'}"
    finally:
        store.close()
