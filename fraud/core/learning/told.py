"""F: which share of frauds is told by the age at which a payment is learned, by channel, as the label book saw it."""

import msgspec

from fraud.core.errors import StateError
from fraud.core.learning.journal import UNREADABLE
from fraud.core.records import DAY

TWICE = 2
"""Of payments so many times as old as they are when they are learned it is known, for most, how late they are told."""
MOST_DAYS = 400


class ToldCounts(msgspec.Struct, frozen=True, array_like=True):
    """Of some frauds of one channel: how many were told by the age of learning, and in all."""

    by_age: int = 0
    in_all: int = 0

    def plus(self, by_age: int, in_all: int = 1) -> "ToldCounts":
        """Return them with more, or fewer."""
        return ToldCounts(max(self.by_age + by_age, 0), max(self.in_all + in_all, 0))


class ToldState(msgspec.Struct, array_like=True):
    """What is kept: frauds whose deadline has passed, by channel, and others by channel and day of the payment.

    `now` is when one was last told, ns; `age` is that of learning. The release before kept the first alone.
    """

    settled: dict[str, ToldCounts] = {}
    young: dict[str, dict[int, ToldCounts]] = {}
    now: int = 0
    age: int = 0


class ToldShare:
    """Of frauds, the share that is told by an age M, by channel.

    Counted over payments whose deadline has passed: there it is known how many were told late. Until then over those of
    twice that age, by what is told of them so far: that is too high by what is told later still, and for a site whose
    frauds are told in a day it is far from no knowledge at all. Frauds that are never told are in no book, so F is a
    share of those that ever will be. Before the book has seen enough, F leans on `prior`, worth `weight` frauds.
    """

    def __init__(self, *, prior: float = 0.5, weight: float = 20.0) -> None:
        """Start without counts."""
        self._prior, self._weight = prior, weight
        self._state = ToldState()
        self._shares: dict[str, float] = {}

    def seen(self, channel: str, paid_at: int, told_after: int, age: int) -> None:
        """Note a fraud that was told `told_after` ns after the payment, whose deadline has not passed; `age` is M."""
        state, day = self._state, paid_at // DAY
        days = state.young.setdefault(channel, {})
        days[day] = days.get(day, ToldCounts()).plus(told_after <= age)
        if len(days) > MOST_DAYS:
            del days[min(days)]
        state.now, state.age = max(state.now, paid_at + told_after), int(age)  # a setting is no plain number
        self._shares.clear()

    def closed(self, channel: str, told_after: int, age: int, paid_at: int = 0) -> None:
        """Count a fraud whose deadline has passed, as has that of all that were paid a day before it."""
        by_age, day = told_after <= age, paid_at // DAY
        self._state.settled[channel] = self._state.settled.get(channel, ToldCounts()).plus(by_age)
        days = self._state.young.get(channel, {})
        for old in [one for one in days if one < day or (days[one].in_all <= 1 and one == day)]:
            del days[old]
        if day in days:
            days[day] = days[day].plus(-by_age, -1)
        self._shares.clear()

    def share(self, channel: str) -> float:
        """Return F for a channel, in (0, 1)."""
        if (known := self._shares.get(channel)) is None:
            state = self._state
            until = (state.now - TWICE * state.age) // DAY  # of that day the first ones only are old enough
            counts = [state.settled.get(channel, ToldCounts())]
            counts += [one for day, one in state.young.get(channel, {}).items() if day < until]
            by_age, in_all = (sum(getattr(one, name) for one in counts) for name in ("by_age", "in_all"))
            known = self._shares[channel] = (by_age + self._prior * self._weight) / (in_all + self._weight)
        return known

    def shares(self) -> dict[str, float]:
        """Return F of every channel of which there is a count."""
        return {channel: self.share(channel) for channel in sorted(self._state.settled | self._state.young)}

    def snapshot(self) -> bytes:
        """Return the counts."""
        return msgspec.msgpack.encode(self._state)

    def restore(self, snapshot: bytes) -> None:
        """Replace the counts; raise StateError for bytes that are none."""
        try:
            found = msgspec.msgpack.decode(snapshot, type=ToldState | dict[str, ToldCounts])
        except UNREADABLE as error:
            msg = f"the counts of told frauds cannot be read ({error}): restore what `snapshot` returned"
            raise StateError(msg) from error
        self._state = ToldState(found) if isinstance(found, dict) else found
        self._shares = {}
