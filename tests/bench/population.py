"""Stores that have seen many cards or long histories, and the time that one more event takes on them."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from features.extractor import OnlineExtractor
from features.state.tables import RecordTable, card_key, merchant_key, pair_key
from features.stores.memory import MemoryStore
from fraud.core.records import DAY, MINUTE, SECOND, KnownLabel, LabelSource, Position, Transaction, Verdict

MERCHANTS = 1_000
SHOPS = 2
SEEN = 50
MODELS = 100
SPAN = 30 * DAY
START = 1_700_000_000 * SECOND
GAP = MINUTE // 10
LABEL_EVERY = 5

Told = Callable[[int], None]


class Population(NamedTuple):
    """A store that has seen `cards` cards; `size` is what a sweep varies, `clock` its latest event (ns)."""

    size: int
    cards: int
    extractor: OnlineExtractor
    store: MemoryStore
    clock: list[int]

    @property
    def rows(self) -> tuple[int, int]:
        """Return how many entity rows and pair rows there are."""
        return len(self.store.entities), len(self.store.pairs)

    @property
    def row_bytes(self) -> int:
        """Return the bytes of all rows."""
        tables = self.store.entities, self.store.pairs
        return sum(table.width * len(table) for table in tables)


def shop(card: int, choice: int) -> str:
    """Return a card's merchant number `choice`: every card pays at `SHOPS` of the `MERCHANTS`, all equally busy."""
    return f"m{(card * SHOPS + choice) % MERCHANTS}"


def payments(rng: np.random.Generator, cards: int, count: int, now: list[int], gap: int) -> Iterator[Transaction]:
    """Yield payments of random cards at merchants of theirs, `gap` ns apart; move `now` along."""
    who, choice = rng.integers(0, cards, count).tolist(), rng.integers(0, SHOPS, count).tolist()
    amounts = rng.integers(100, 20_000, count).tolist()
    for card, number, amount in zip(who, choice, amounts, strict=True):
        now[0] += gap
        yield Transaction(
            id=f"t{now[0]}", card=f"c{card}", merchant=shop(card, number), amount=amount, base_amount=amount,
            happened_at=now[0], seen_at=now[0],
        )  # fmt: skip


def verdict(tx: Transaction) -> KnownLabel:
    """Return a verdict on a payment, a day later."""
    return KnownLabel(
        tx_id=tx.id, verdict=Verdict.GENUINE, source=LabelSource.CHARGEBACK, happened_at=tx.happened_at + DAY,
        seen_at=tx.happened_at + DAY, card=tx.card, merchant=tx.merchant, paid_at=tx.happened_at,
        base_amount=tx.base_amount,
    )  # fmt: skip


def with_histories(events: int, cards: int, told: Told | None = None, seed: int = 1) -> Population:
    """Return a store that has absorbed `events` payments a card, all within 30 days; `told` hears of each step."""
    store, now = MemoryStore(), [START]
    one = Population(events, cards, OnlineExtractor(store), store, now)
    rng, gap = np.random.default_rng(seed), SPAN // (cards * events)
    for _ in range(events):
        fill(one.extractor, payments(rng, cards, cards, now, gap))
        if told is not None:
            told(cards)
    return one


def fill(extractor: OnlineExtractor, stream: Iterator[Transaction]) -> None:
    """Absorb payments, unmeasured."""
    extractor.open([])
    for tx in stream:
        extractor.absorb(tx, None)
    extractor.close([])


def with_cards(cards: int, told: Told | None = None) -> Population:
    """Return a store of `cards` cards; rows and pairs are copies of those of a card that paid about 50 times.

    A copy takes microseconds where 50 payments take a millisecond, and touches every byte of the row all the same.
    """
    one = with_histories(SEEN, min(MODELS, cards))
    entities, pairs = one.store.entities, one.store.pairs
    row, pair = entities.get(card_key("c0")), pairs.get(pair_key("c0", shop(0, 0)))
    for number in range(MERCHANTS):
        add(entities, merchant_key(f"m{number}"), row)
    for card in range(cards):
        add(entities, card_key(f"c{card}"), row)
        for choice in range(SHOPS):
            add(pairs, pair_key(f"c{card}", shop(card, choice)), pair)
        if told is not None and card % 1_000 == 999:
            told(1_000)
    return one._replace(size=cards, cards=cards)


def add(table: RecordTable, key: str, record: bytes) -> None:
    """Give a key a record unless it has one."""
    if not table.find(key):
        table.put(key, record)


def measured(one: Population, seed: int, count: int) -> float:
    """Return microseconds an event: look and absorb, and every fifth payment's label applied."""
    rng = np.random.default_rng(seed)
    stream = list(payments(rng, one.cards, count, one.clock, GAP))
    labels = {tx.id: verdict(tx) for tx in stream[::LABEL_EVERY]}
    places = [Position("t", 0, tx.happened_at // SECOND) for tx in stream]
    extractor = one.extractor
    began = time.perf_counter()
    extractor.open([])
    for tx, place in zip(stream, places, strict=True):
        extractor.look(tx)
        extractor.absorb(tx, place)
        if tx.id in labels:
            extractor.apply(labels[tx.id], None)
    extractor.close([])
    return (time.perf_counter() - began) / count * 1e6


def found(one: Population, seed: int, count: int) -> float:
    """Return microseconds an event that finding the rows of card, merchant and pair takes, once, in the index."""
    rng = np.random.default_rng(seed)
    stream = payments(rng, one.cards, count, [0], 1)
    keys = [(card_key(tx.card), merchant_key(tx.merchant), pair_key(tx.card, tx.merchant)) for tx in stream]
    entities, pairs = one.store.entities, one.store.pairs
    began = time.perf_counter()
    for card, merchant, pair in keys:
        entities.find(card)
        entities.find(merchant)
        pairs.find(pair)
    return (time.perf_counter() - began) / count * 1e6
