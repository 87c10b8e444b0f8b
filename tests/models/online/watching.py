"""A site whose loop is watched for drift."""

from fraud.core.drift import Drift
from fraud.core.fields import Duration
from fraud.core.learning.journal import MemoryJournal
from fraud.core.learning.settings import DriftSection
from fraud.core.records import HOUR
from models.online.watched import WatchedLoop
from tests.models.online.driven import RULES, Site
from tests.models.online.grown import TREES, World, base

NAMES = [f"f{number}" for number in range(TREES)]
WINDOW = Duration(12 * HOUR)


def watched(world: World, action: str = "page", journal: MemoryJournal | None = None, psi: float = 0.25) -> Site:
    """Return a site whose loop is watched."""
    site = Site(world, journal=journal)
    rules = DriftSection(psi=psi, action=action, window=WINDOW, reference=300, least=300)  # type: ignore[arg-type]
    site.loop = WatchedLoop(base(), site.book, RULES, site.journal, lambda: Drift(NAMES, rules))
    return site
