"""What the learner follows: asked once a second, a store that is gone left alone for a while, a fault told."""

import io
from types import SimpleNamespace
from typing import Any

from fraud.core.engine import Strategy
from fraud.core.errors import StoreUnavailableError
from fraud.core.records import SECOND
from streaming.labels.following import LATER, Following
from streaming.labels.learning import Successor
from streaming.observe.logs import Log


class Swap:
    """Says what a test wants of what is to decide."""

    what = "release"

    def __init__(self) -> None:
        self.looks, self.gone, self.fault = 0, False, ""
        self.chosen: Strategy | None = None

    def look(self) -> None:
        self.looks += 1
        if self.gone:
            msg = "no answer"
            raise StoreUnavailableError(msg)

    def refused(self) -> str:
        fault, self.fault = self.fault, ""
        return fault

    def loaded(self) -> Any:
        chosen, self.chosen = self.chosen, None
        return chosen and SimpleNamespace(strategy=chosen)


def strategy_of(model: str) -> Strategy:
    """Return a strategy of parts that have nothing but a version."""
    named: Any = SimpleNamespace(version=model)
    return Strategy(named, named, named, release="r1-a")


def following(swap: Swap, log: io.StringIO) -> Following:
    return Following(swap, lambda chosen: Successor(chosen.scorer.version, lambda: None), Log("book", log))


def test_store_is_asked_once_a_second_and_what_it_says_is_handed_on_once() -> None:
    swap, log = Swap(), io.StringIO()
    follows = following(swap, log)
    for turn in range(25):
        follows.turn(10 * SECOND + turn * SECOND // 10)
    assert swap.looks == 3
    assert follows.successor() is None
    swap.chosen = strategy_of("demo@2")
    made = follows.successor()
    assert made is not None
    assert made.base == "demo@2"
    assert follows.successor() is None
    assert '"event":"release taken up","model":"demo@2","release":"r1-a"' in log.getvalue()


def test_store_that_is_gone_is_left_alone_for_a_while_and_told_of_once() -> None:
    swap, log = Swap(), io.StringIO()
    follows = following(swap, log)
    swap.gone = True
    for turn in range(25):
        follows.turn(SECOND + turn * SECOND)
    assert swap.looks == 25 * SECOND // LATER + 1
    assert log.getvalue().count("releases not known") == 1
    swap.gone = False
    follows.turn(60 * SECOND)
    follows.turn(61 * SECOND)
    assert swap.looks == 5
    swap.gone = True
    follows.turn(62 * SECOND)
    assert log.getvalue().count("releases not known") == 2


def test_what_cannot_be_loaded_is_told_and_changes_nothing() -> None:
    swap, log = Swap(), io.StringIO()
    follows = following(swap, log)
    swap.fault = "it is bad: put another one in force"
    follows.turn(SECOND)
    follows.turn(2 * SECOND)
    assert log.getvalue().count("release refused") == 1
    assert "put another one in force" in log.getvalue()
    assert follows.successor() is None
