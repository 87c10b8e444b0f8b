"""The events of a payment's histories that its score rests on: each with what the log-odds lose without it.

They are played beside the coalitions that explain the decision anyway, in the same batch of the network. Which ones is
told by the first batch: what a group's absence changes, shared among its events, must be material for each. Those of
the largest share come first, then the newest.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.evidence import MICROSECOND, MOST_EVENTS, SideEvent, as_kept
from fraud.core.tokens import PRESENT
from models.reasons.coalitions import F32, F64, ends, without_each
from models.reasons.network_game import ALWAYS, Game, Places

UNSIGNED = 2**64


class Witness(NamedTuple):
    """One event: its side, its raw row, and what it adds to the log-odds."""

    side: int
    row: int
    effect: float


class Witnesses:
    """Plays a game once through, with the events that matter beside its last batch."""

    def __init__(self, game: Game, least: float, most: int = MOST_EVENTS) -> None:
        """Take a game; an event whose share of its group's log-odds is below `least` is left alone.

        `most` is how many are told, a side.
        """
        self._game, self._least, self._most = game, least, most
        self._whole: float | None = None
        self._gains = np.zeros(ALWAYS)
        self._events: Places | None = None
        self._alone: F64 = np.empty(0)

    def play(self, chosen: F32) -> F64:
        """Return the values of coalitions, as the game does; the first ones are those of `coalitions.ends`."""
        if self._whole is None:
            values = self._game.values(chosen)
            self._hear(values)
            return values
        if self._events is not None:
            return self._game.values(chosen)
        return self._beside(chosen)

    def found(self) -> list[Witness]:
        """Return the events, strongest first, once the game has been played."""
        if self._whole is None:
            return []
        if self._events is None:
            self._beside(np.empty((0, len(self._game.players)), np.float32))
        assert self._events is not None  # noqa: S101
        told = zip(self._events.tolist(), (self._whole - self._alone).tolist(), strict=True)
        return sorted((Witness(side, row, effect) for (side, row), effect in told), key=lambda one: -abs(one.effect))

    def _hear(self, values: F64) -> None:
        """Learn from the first batch what each group's absence changes."""
        players = self._game.players
        self._whole = float(values[0])
        self._gains[players] = np.abs(self._whole - without_each(ends(len(players)).coalitions, values))

    def _beside(self, chosen: F32) -> F64:
        self._events = self._candidates()
        values = self._game.values(chosen, self._events) if len(chosen) + len(self._events) else np.empty(0)
        self._alone = values[len(chosen) :]
        return values[: len(chosen)]

    def _candidates(self) -> Places:
        """Return the events to leave out, (events, 2): side and raw row."""
        owner, there = self._game.owners.raw, self._game.tokens.raw[0, :, :, PRESENT] > 0
        gains = self._gains[owner] * there
        found = []
        for side in range(len(owner)):
            count = np.bincount(owner[side][there[side]], minlength=ALWAYS)
            share = gains[side] / np.maximum(count[owner[side]], 1)
            best = np.argsort(-share, kind="stable")[: self._most]
            found += [(side, row) for row in best[share[best] >= self._least].tolist()]
        return np.array(found, np.intp).reshape(-1, 2)


def as_told(found: list[Witness], weight: float, events: NDArray[np.int64]) -> tuple[tuple[SideEvent, ...], ...]:
    """Return the events by side, their effects times the network's weight in the mixture.

    `events` int64 (sides, RAW, 2) names those of the raw rows, as the Histories port does.
    """
    sides: list[list[SideEvent]] = [[] for _ in events]
    for side, row, effect in found:
        tx, us = events[side, row].tolist()
        sides[side].append(SideEvent(tx % UNSIGNED, us * MICROSECOND, as_kept(weight * effect)))
    return tuple(map(tuple, sides))
