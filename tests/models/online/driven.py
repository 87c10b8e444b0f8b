"""A book and a learning loop that live through a world, as an engine feeds them."""

from collections.abc import Iterable

from fraud.core.labels import Deadlines, LabelBook
from fraud.core.learning.charts import CHARTS
from fraud.core.learning.journal import Journal, MemoryJournal
from fraud.core.pending import MemoryPending, PendingStore
from fraud.core.records import HOUR, Action
from models.online.loop import Closed, LearningLoop, LearningRules
from models.online.refresher import Base
from tests.models.online.grown import World, base

AGE = 6 * HOUR
RULES = LearningRules(every=HOUR, maturity=AGE, charts=CHARTS, alert_at=lambda amount: 0.0)


class Site:
    """A book and a loop, fed as an engine feeds them."""

    def __init__(
        self,
        world: World,
        rules: LearningRules = RULES,
        *,
        on: Base | None = None,
        journal: Journal | None = None,
        pending: PendingStore | None = None,
    ) -> None:
        self.world, self.rules = world, rules
        self.journal = journal or MemoryJournal()
        self.pending: PendingStore = MemoryPending() if pending is None else pending
        deadlines = Deadlines(default=20 * HOUR, maturity=rules.maturity)
        self.book = LabelBook(self.pending, deadlines)
        self.loop = LearningLoop(on or base(), self.book, rules, self.journal)
        self.period = 0
        self.closed: list[Closed] = []

    def time(self, at: int) -> None:
        """Let time pass."""
        due = self.book.expire(at)
        for match in due.silent:
            self.loop.take(match, self.period)
        for item in due.ripe:
            self.loop.ripen(item)
        for item in due.settled:
            self.loop.settle(item)
        if at // HOUR > self.period:
            self.period = at // HOUR
            self.closed.append(self.loop.close(self.period - 1, self.period * HOUR))

    def pay(self, row: int, *, action: Action = Action.APPROVE) -> tuple[float, ...]:
        """Decide a payment; return what was said of it."""
        decision, vector = self.world.decision(row, action=action), self.world.vector(row)
        said = self.loop.hear(decision, vector)
        for match in self.book.hold(decision, vector, said):
            self.loop.take(match, self.period)
        return said

    def tell(self, row: int, after: int = AGE, **fields: object) -> None:
        """Tell of a payment."""
        match = self.book.match(self.world.label(row, after, **fields))  # type: ignore[arg-type]
        if match is not None:
            self.loop.take(match, self.period)

    def learned(self) -> dict[str, int]:
        """Return how many labels were learned."""
        return dict(self.loop.figures()["learned"])


def lived(site: Site, rows: Iterable[int], after: int = AGE, flipped: Iterable[int] = ()) -> Site:
    """Let payments come, and the labels of those before at the age `after`."""
    late, minute = after // (HOUR // 60), site.world.at
    lies = set(flipped)
    for row in rows:
        if row >= late:
            site.tell(row - late, after, flipped=lies)
        site.time(int(minute[row]))
        site.pay(row)
    return site
