"""Rows under a token of an earlier key move to the one in use when their card is touched; nothing of them is lost."""

from collections.abc import Iterator, Sequence

import msgspec
import pytest

from features.state.tables import card_key, merchant_key
from features.stores.memory import MemoryStore
from features.stores.redis import RedisStore
from features.stores.server import Command
from fraud.core.records import DAY, HOUR, MINUTE, Arrival, Position, Transaction, Verdict
from tests.contract.driving import Rows, rows_of
from tests.contract.payments import verdict_on
from tests.features.cuts import payment, sent
from tests.histories import feed_histories, histories_of
from tests.redis_cluster import fresh_cluster_store

CARDS, MERCHANTS = 4, 3


def paid(numbers: range, key: str, after: int = 0) -> list[Arrival]:
    """Return payments of some cards, which go by the tokens of a key."""
    made = [payment(f"t{n}", after + n * MINUTE, 100 * n + 50) for n in numbers]
    named = [
        msgspec.structs.replace(tx, card=f"{key}{n % CARDS}", merchant=f"m{n % MERCHANTS}")
        for n, tx in zip(numbers, made, strict=True)
    ]
    return [sent(tx, n) for n, tx in zip(numbers, named, strict=True)]


def former(card: str) -> Sequence[str]:
    return [before + card[1:] for before in ("middle", "old")] if card.startswith("n") else ()


def mine(rows: Rows) -> Rows:
    """Return the rows of cards, and of their pairs: those of merchants count cards by their tokens."""
    return {key: row for key, row in rows.items() if not key.startswith((merchant_key(""), "d"))}


def expected(*streams: Sequence[Arrival]) -> tuple[Rows, Rows]:
    """Return what all payments make of the rows of their cards, had they gone by their new tokens from the start."""
    memory, stream = MemoryStore(), [each for part in streams for each in part]
    feed_histories(memory, stream)
    return mine(rows_of(memory, stream)), mine(histories_of(memory, stream))


def found(store: RedisStore, *streams: Sequence[Arrival]) -> tuple[Rows, Rows]:
    stream = [each for part in streams for each in part]
    return mine(rows_of(store, stream)), mine(histories_of(store, stream))


@pytest.fixture(params=["one", "cluster"])
def store(request: pytest.FixtureRequest, redis_url: str) -> Iterator[RedisStore]:
    """A store that knows of earlier tokens."""
    made = RedisStore(redis_url, timeout=10) if request.param == "one" else fresh_cluster_store()
    made._former = former
    yield made
    made.close()


def kept(store: RedisStore, word: str) -> int:
    return len(store._server.scan(store._keys.row(word)[:-1]))


def test_rows_move_when_their_card_pays_and_nothing_of_them_is_lost(store: RedisStore) -> None:
    feed_histories(store, paid(range(150), "old"))
    feed_histories(store, paid(range(150, 190), "n", HOUR))
    assert found(store, paid(range(190), "n")) == expected(paid(range(150), "n"), paid(range(150, 190), "n", HOUR))
    assert kept(store, card_key("old")) == 0


def test_rows_that_are_not_touched_stay_where_they_are(store: RedisStore) -> None:
    feed_histories(store, paid(range(60), "old"))
    others = kept(store, card_key("old1"))
    feed_histories(store, paid(range(60, 61), "n"))
    left = store._server.scan(store._keys.row(card_key("old0")))
    assert {key[:-1].rpartition(b"}:")[2] for key in left} == {b"m1", b"m2"}
    assert kept(store, card_key("old1")) == others


def test_rows_of_two_keys_before_are_found(store: RedisStore) -> None:
    feed_histories(store, paid(range(60), "old"))
    feed_histories(store, paid(range(60, 100), "n"))
    assert found(store, paid(range(100), "n")) == expected(paid(range(100), "n"))


def test_payment_that_is_delivered_again_under_the_new_key_counts_once(store: RedisStore) -> None:
    feed_histories(store, paid(range(60), "old"))
    feed_histories(store, paid(range(50, 70), "n"))
    assert found(store, paid(range(70), "n")) == expected(paid(range(70), "n"))


def verdict(n: int, key: str, offset: int) -> Arrival:
    tx = paid(range(n, n + 1), key)[0].event
    assert isinstance(tx, Transaction)
    return Arrival(verdict_on(tx, Verdict.FRAUD, DAY), Position("labels", 0, offset))


def test_verdict_on_a_payment_of_before_goes_to_the_row_that_moved(store: RedisStore) -> None:
    feed_histories(store, paid(range(60), "old"))
    feed_histories(store, [*paid(range(60, 64), "n"), verdict(5, "n", 0), verdict(59, "n", 1)])
    stream = [*paid(range(64), "n"), verdict(5, "n", 0), verdict(59, "n", 1)]
    assert found(store, stream) == expected(stream)


def test_move_that_was_cut_short_is_done_again(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    feed_histories(store, paid(range(60), "old"))
    run = store._server.run

    def dies(commands: Sequence[Command]) -> list[object]:
        if commands and commands[0][0] == "DEL":
            raise KeyboardInterrupt
        return run(commands)

    monkeypatch.setattr(store._server, "run", dies)
    with pytest.raises(KeyboardInterrupt):
        feed_histories(store, paid(range(60, 64), "n"))
    monkeypatch.undo()
    feed_histories(store, paid(range(60, 70), "n"))
    assert found(store, paid(range(70), "n")) == expected(paid(range(70), "n"))
