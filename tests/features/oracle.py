"""What every feature means, in plain Python over lists of raw events: slow, readable, and independent of the rows.

An `Oracle` is told what the extractor is told. It keeps every payment and every verdict and computes a vector from
them when asked. Only the declared constants (windows, scales) are shared with the compiled code.

Three bounds are part of the meaning: windows are cut into intervals (buckets) of event time, and of two intervals that
share a slot the newer one is kept; a ring holds the newest 24 events; what a correction takes out leaves sums, counts
and the histogram, while largest amount, distinct counterparties and first and last time only ever grow.
"""

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from features.state.layout import AMOUNT_BINS, BIN_FIRST, BIN_WIDTH, LEVELS, LOG_SCALE, PAIR_LEVELS, RISK_LEVELS, Level
from features.state.tables import hash64
from fraud.core.records import Arrival, Kind, KnownLabel, Transaction, Verdict

NEWEST = 24
NAN = math.nan
CARD_PRESENT = {"pos": 1, "atm": 1, "ecom": 0, "moto": 0}


class Paid(NamedTuple):
    """One payment as an entity sees it: when (us), how much (minor units), with whom."""

    at: int
    amount: int
    other: int

    @property
    def log(self) -> int:
        """Return ln(1 + amount), in steps of 1/1024."""
        return math.floor(math.log(1 + self.amount) * LOG_SCALE + 0.5)

    @property
    def bin(self) -> int:
        """Return the bin of the histogram of log amounts."""
        return min(max(math.floor((math.log(1 + self.amount) - BIN_FIRST) / BIN_WIDTH), 0), AMOUNT_BINS - 1)


class Verdicts:
    """What became known of one entity's payments, in the order it became known."""

    def __init__(self) -> None:
        self.given: list[KnownLabel] = []
        self.newest: dict[tuple[int, int], tuple[bool, bool]] = {}

    def add(self, label: KnownLabel) -> None:
        """Note a verdict; the ring of the newest goes by time of payment, one verdict a payment."""
        self.given.append(label)
        paid_ms, part = label.paid_at // 1_000_000, hash64(label.tx_id) & 0xFFFF
        self.newest[paid_ms, part] = (label.verdict is Verdict.FRAUD, label.unusual)
        if len(self.newest) > NEWEST:
            del self.newest[min(self.newest)]

    @property
    def standing(self) -> list[KnownLabel]:
        """Return the verdicts that no later one has replaced."""
        last = {label.tx_id: label for label in self.given}
        return list(last.values())

    def in_window(self, level: Level, now: int) -> tuple[int, int]:
        """Return (verdicts, frauds) given in a window that ends at `now`."""
        slots = newest_in_slot(level, (label.happened_at // 1_000 for label in self.given))
        window = set(intervals(level, now)) & set(slots.values())
        inside = [label for label in self.standing if interval(level, label.happened_at // 1_000) in window]
        return len(inside), sum(label.verdict is Verdict.FRAUD for label in inside)

    def run(self, *, ordinary: bool) -> list[int]:
        """Return the payment times (us) of the current run of frauds, newest first."""
        times = []
        for (paid_ms, _), (fraud, unusual) in sorted(self.newest.items(), reverse=True):
            if ordinary and unusual:
                continue
            if not fraud:
                break
            times.append(paid_ms * 1_000)
        return times


class History:
    """All that was paid at one entity (or pair), what was taken out again, and what became known."""

    def __init__(self) -> None:
        self.paid: list[Paid] = []
        self.taken_out: list[Paid] = []
        self.verdicts = Verdicts()
        self.ring: dict[tuple[int, int, int], Transaction] = {}

    @property
    def standing(self) -> list[Paid]:
        """Return the payments less those taken out."""
        left = list(self.paid)
        for gone in self.taken_out:
            left.remove(gone)
        return left

    def take_in(self, tx: Transaction, other: int) -> None:
        """Count a payment, and put any transaction on the ring of the newest 24, by time and id."""
        if tx.kind is Kind.PAYMENT:
            self.paid.append(Paid(microseconds(tx), tx.base_amount, other))
        self.ring[ring_key(tx)] = tx
        if len(self.ring) > NEWEST:
            del self.ring[min(self.ring)]

    def take_out(self, tx: Transaction, other: int) -> None:
        """Uncount a payment and take any transaction off the ring."""
        if tx.kind is Kind.PAYMENT:
            self.taken_out.append(Paid(microseconds(tx), tx.base_amount, other))
        self.ring.pop(ring_key(tx), None)

    def held(self, tx_id: str) -> Transaction | None:
        """Return what the ring holds under an id."""
        versions = [tx for tx in self.ring.values() if tx.id == tx_id]
        return max(versions, key=lambda tx: tx.version, default=None)

    def window(self, level: Level, now: int) -> Iterator[tuple[list[Paid], list[Paid]]]:
        """Yield (standing payments, all payments ever) of each interval of a window that has standing ones."""
        kept = set(newest_in_slot(level, (paid.at for paid in self.paid)).values())
        standing = self.standing
        for each in intervals(level, now):
            inside = [paid for paid in standing if interval(level, paid.at) == each]
            if each in kept and inside:
                yield inside, [paid for paid in self.paid if interval(level, paid.at) == each]


def holds(history: History, tx: Transaction) -> bool:
    """Tell whether a ring holds a transaction in this very version."""
    held = history.held(tx.id)
    return held is not None and held.version == tx.version


def ring_key(tx: Transaction) -> tuple[int, int, int]:
    """Return the order of a ring: time (us), then the id's hash as an unsigned number, then the newest version."""
    return tx.happened_at // 1_000, hash64(tx.id) % 2**64, -tx.version


def interval(level: Level, at: int) -> int:
    """Return the number of the interval that an instant (us) falls into."""
    return at // (level.width * 1_000_000)


def intervals(level: Level, now: int) -> range:
    """Return the intervals of the window that ends at `now`, the current one included."""
    last = interval(level, now)
    return range(last - level.buckets + 1, last + 1)


def newest_in_slot(level: Level, times: Iterable[int]) -> dict[int, int]:
    """Return, for each slot, the newest interval that was ever written to it."""
    newest: dict[int, int] = {}
    for at in times:
        each = interval(level, at)
        newest[each % level.slots] = max(each, newest.get(each % level.slots, 0))
    return newest


def distinct(others: Iterable[int]) -> float:
    """Estimate how many different hashes there are (HyperLogLog, 32 registers, ranks up to 15)."""
    ranks = [0] * 32
    for other in others:
        rest = (other % 2**64) >> 5
        rank = next((n + 1 for n in range(14) if rest >> n & 1), 15)
        ranks[other % 32] = max(ranks[other % 32], rank)
    free = ranks.count(0)
    raw = 0.697 * 32 * 32 / sum(2.0**-rank for rank in ranks)
    if free == 32:
        return 0.0
    return 32 * math.log(32 / free) if free and raw <= 80 else raw


def quantile(bins: list[int], share: float) -> float:
    """Return the log amount below which `share` of the payments lie, straight lines inside a bin of the histogram."""
    target, below = share * len(bins), 0
    for each in sorted(set(bins)):
        inside = bins.count(each)
        if below + inside >= target:
            return BIN_FIRST + BIN_WIDTH * (each + (target - below) / inside)
        below += inside
    raise AssertionError


def since(now: int, then: int | None) -> float:
    """Return seconds from then to now, never below 0; missing when it never was."""
    return NAN if then is None else max(now - then, 0) / 1e6


def over(amount: float, base: float) -> float:
    """Return a ratio; missing without a base."""
    return amount / base if base > 0 else NAN


def log_deviation(logs: list[int]) -> float:
    """Return the standard deviation of log amounts."""
    mean = sum(logs) / len(logs)
    return math.sqrt(sum((log - mean) ** 2 for log in logs) / len(logs)) / LOG_SCALE


class Oracle:
    """The feature table by its definition."""

    def __init__(self) -> None:
        self._histories: dict[str, History] = {}
        self._marks: dict[tuple[str, int], int] = {}

    def take(self, arrival: Arrival) -> dict[str, float] | None:
        """Look at and absorb a transaction, or apply a label; return the transaction's features."""
        event = arrival.event
        features = self.look(event) if isinstance(event, Transaction) else None
        mark = (arrival.position.topic, arrival.position.partition)
        if arrival.position.offset <= self._marks.get(mark, -1):
            return features
        if isinstance(event, Transaction):
            taken = self._absorb(event)
        else:
            assert isinstance(event, KnownLabel)
            taken = self._apply(event)
        if taken:
            self._marks[mark] = arrival.position.offset
        return features

    def look(self, tx: Transaction) -> dict[str, float]:
        """Return every feature by name, in the order of the vector."""
        features = of_transaction(tx)
        features |= self._entity("card", "merchants", tx.card, tx)
        features |= self._entity("merchant", "cards", tx.merchant, tx)
        features |= self._entity("device", "cards", tx.device, tx)
        return features | of_pair(self._history("pair", pair(tx)), tx)

    def _absorb(self, tx: Transaction) -> bool:
        card = self._history("card", tx.card)
        before = card.held(tx.id)
        if before is not None and before.version >= tx.version:
            return False  # the same again, or superseded already
        if before is None and tx.version > 0 and len(card.ring) == NEWEST and min(card.ring)[0] > microseconds(tx):
            return False  # a correction of something that the ring has let go
        if before is not None:
            for history, other in self._rows(before if before.merchant == tx.merchant else None, before, tx):
                history.take_out(before, other)
        for history, other in self._rows(tx, tx, tx):
            history.take_in(tx, other)
        return True

    def _rows(self, shop: Transaction | None, what: Transaction, now: Transaction) -> Iterator[tuple[History, int]]:
        """Yield what a payment belongs to, each with the counterparty: its shop only if it is that of `now`."""
        yield self._history("card", what.card), hash64("m" + what.merchant)
        if shop is not None:
            yield self._history("merchant", shop.merchant), hash64("c" + shop.card)
            yield self._history("pair", pair(shop)), 0
        device = self._history("device", now.device)
        if now.device is not None and (what is now or holds(device, what)):
            yield device, hash64("c" + what.card)

    def _apply(self, label: KnownLabel) -> bool:
        for kind, key in (("card", label.card), ("merchant", label.merchant), ("pair", pair(label))):
            self._history(kind, key).verdicts.add(label)
        if label.device is not None:
            self._history("device", label.device).verdicts.add(label)
        return True

    def _entity(self, kind: str, others: str, key: str | None, tx: Transaction) -> dict[str, float]:
        features = of_entity(self._history(kind, key), tx, others)
        return {f"{kind}_{name}": NAN if key is None else value for name, value in features.items()}

    def _history(self, kind: str, key: str | None) -> History:
        return self._histories.setdefault(f"{kind} {key}", History())


def microseconds(tx: Transaction) -> int:
    """Return when a transaction took place, in microseconds."""
    return tx.happened_at // 1_000


def pair(event: Transaction | KnownLabel) -> str:
    """Return what names a pair."""
    return f"{event.card} at {event.merchant}"


def of_transaction(tx: Transaction) -> dict[str, float]:
    """Return the columns that need no history."""
    when = datetime.fromtimestamp(microseconds(tx) / 1e6, tz=UTC)
    midnight = when.replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "amount": tx.base_amount / 100,
        "log_amount": Paid(0, tx.base_amount, 0).log / LOG_SCALE,
        "hour": (when - midnight).total_seconds() / 3_600,
        "weekday": when.weekday(),
        "mcc": tx.mcc,
        "money_back": tx.kind is not Kind.PAYMENT,
        "card_present": CARD_PRESENT.get(tx.channel, NAN),
    }


def of_entity(history: History, tx: Transaction, others: str) -> dict[str, float]:
    """Return the columns of one entity, without its name."""
    now = microseconds(tx)
    features: dict[str, float] = {}
    for level in LEVELS:
        window = of_window(list(history.window(level, now)), others)
        features |= {f"{name}_{level.name}": value for name, value in window.items()}
    for level in RISK_LEVELS:
        labels, frauds = history.verdicts.in_window(level, now)
        risk = {"labels": labels, "frauds": frauds, "fraud_share": over(frauds, labels)}
        features |= {f"{name}_{level.name}": value for name, value in risk.items()}
    features |= of_times(history, now) | of_amounts(history, tx)
    features["amount_vs_mean_30d"] = over(tx.base_amount, features["mean_30d"] * 100)
    return features | of_verdicts(history.verdicts, now)


def of_window(inside: list[tuple[list[Paid], list[Paid]]], others: str) -> dict[str, float]:
    """Return the six columns of one window."""
    standing = [each for interval_standing, _ in inside for each in interval_standing]
    ever = [each for _, interval_ever in inside for each in interval_ever]
    total = sum(each.amount for each in standing)
    return {
        "count": len(standing),
        "sum": total / 100,
        "mean": total / 100 / len(standing) if standing else NAN,
        "dev": log_deviation([each.log for each in standing]) if standing else NAN,
        "max": max(each.amount for each in ever) / 100 if ever else NAN,
        others: distinct(each.other for each in ever),
    }


def of_times(history: History, now: int) -> dict[str, float]:
    """Return first and last time."""
    times = [each.at for each in history.paid]
    return {
        "since_last": since(now, max(times, default=None)),
        "since_first": since(now, min(times, default=None)),
    }


def of_amounts(history: History, tx: Transaction) -> dict[str, float]:
    """Return how the amount compares with all that the entity paid; `amount_vs_mean_30d` is filled in later."""
    bins = [each.bin for each in history.standing]
    names = ("amount_vs_median", "amount_vs_mean_30d", "amount_spread", "amount_z")
    if not bins:
        return dict.fromkeys(names, NAN)
    log, median = Paid(0, tx.base_amount, 0).log / LOG_SCALE, quantile(bins, 0.5)
    spread = quantile(bins, 0.75) - quantile(bins, 0.25)
    return dict(
        zip(names, (math.exp(log - median), NAN, spread, (log - median) / max(spread / 1.349, 0.1)), strict=True)
    )


def of_verdicts(verdicts: Verdicts, now: int) -> dict[str, float]:
    """Return what the newest verdicts say."""
    newest = [fraud for _, (fraud, _) in sorted(verdicts.newest.items())]
    run = verdicts.run(ordinary=True)
    frauds = [label.paid_at // 1_000 for label in verdicts.given if label.verdict is Verdict.FRAUD]
    given = [label.happened_at // 1_000 for label in verdicts.given]
    return {
        "last_verdict": newest[-1] if newest else NAN,
        "fraud_run": len(verdicts.run(ordinary=False)),
        "ordinary_fraud_run": len(run),
        "recent_fraud_share": over(sum(newest), len(newest)),
        "since_fraud": since(now, max(frauds, default=None)),
        "since_label": since(now, max(given, default=None)),
        "run_since_newest": since(now, max(run, default=None)),
        "run_since_oldest": since(now, min(run, default=None)),
    }


def of_pair(history: History, tx: Transaction) -> dict[str, float]:
    """Return the columns of the pair card-merchant."""
    now, features = microseconds(tx), {}
    for level in PAIR_LEVELS:
        inside = [each for standing, _ in history.window(level, now) for each in standing]
        features[f"pair_count_{level.name}"] = float(len(inside))
        features[f"pair_sum_{level.name}"] = sum(each.amount for each in inside) / 100
    standing, verdicts = history.standing, history.verdicts
    frauds = [label.paid_at // 1_000 for label in verdicts.given if label.verdict is Verdict.FRAUD]
    total = sum(each.amount for each in standing)
    times = {f"pair_{name}": value for name, value in of_times(history, now).items()}
    return (
        features
        | times
        | {
            "pair_amount_vs_mean": over(tx.base_amount * len(standing), total),
            "pair_labels": len(verdicts.standing),
            "pair_frauds": sum(label.verdict is Verdict.FRAUD for label in verdicts.standing),
            "pair_since_fraud": since(now, max(frauds, default=None)),
        }
    )
