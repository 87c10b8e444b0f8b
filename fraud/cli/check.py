"""`fraud check`: is everything there."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from fraud.cli import options, output
from fraud.core.errors import FraudError

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

    Kafka and the state store are looked at where --bootstrap and --store, the settings or the environment name them;
    without them only what a replay needs: model, features, policy, rules. Nothing is written anywhere.
    """
    found = options.service(
        settings, bootstrap=bootstrap, store=store, prefix=prefix, model=model, models=models, rules=rules
    )
    fine = [told(name, look) for name, look in parts_of(found, bootstrap is not None, store is not None).items()]
    if not all(fine):
        raise typer.Exit(1)
    output.show("ready")


def parts_of(found: "ServiceSettings", kafka: bool, store: bool) -> dict[str, Callable[[], str]]:
    """Return what is looked at, by name: Kafka and the store where they are asked for, or named by the settings."""
    from streaming import soundness
    from streaming.settings import KafkaSection, StoreSection

    kafka = kafka or found.kafka.bootstrap != KafkaSection().bootstrap
    store = store or found.store.url != StoreSection().url
    parts: dict[str, Callable[[], str]] = {"embedded": lambda: embedded(found)}
    if kafka:
        parts["kafka"] = lambda: soundness.need_sound_topics(found.kafka)
    if store:
        parts["store"] = lambda: soundness.need_sound_store(found)
    if kafka and store:
        parts["site"] = lambda: soundness.need_same_state(found)
    return parts


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
