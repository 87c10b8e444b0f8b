"""Made-up events for an engine that is thrown away: compiled loops load, and first calls are slow."""

from fraud.core.records import DAY, Arrival, KnownLabel, LabelSource, Position, Transaction, Verdict
from streaming.run import Handler


def warm_up(engine: Handler) -> None:
    """Run a few made-up events through an engine."""
    when = 1_700_000_000_000_000_000
    for number in range(3):
        for size in (1, 2, 4):
            batch = [
                Arrival(payment(f"w{number}-{size}-{one}", when), Position("warm", 0, 100 * number + 10 * size + one))
                for one in range(size)
            ]
            engine.handle(batch)
    engine.handle([Arrival(verdict(when), Position("warm-labels", 0, 1))])


def payment(tx_id: str, when: int) -> Transaction:
    """Return a made-up payment."""
    return Transaction(
        id=tx_id, card="warm", merchant="warm", device="warm", amount=1, base_amount=1, happened_at=when, seen_at=when
    )


def verdict(when: int) -> KnownLabel:
    """Return a made-up verdict on one of them."""
    return KnownLabel(
        tx_id="w0-1-0",
        verdict=Verdict.FRAUD,
        source=LabelSource.CHARGEBACK,
        happened_at=when + DAY,
        seen_at=when + DAY,
        card="warm",
        merchant="warm",
        paid_at=when,
        base_amount=1,
    )
