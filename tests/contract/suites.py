"""The contract suites: each port with the implementations that its suite runs on."""

from fraud.core.pending import PendingStore
from fraud.core.ports import Extractor, Policy, RuleBook, Scorer, Sink, Source, StateStore
from fraud.core.releases import Releases
from streaming.messages.feed import Feed
from tests.contract.extractors import EXTRACTORS
from tests.contract.feeds import FEEDS
from tests.contract.pending_stores import PENDING_STORES
from tests.contract.policies import POLICIES
from tests.contract.releases import RELEASES
from tests.contract.rule_books import RULE_BOOKS
from tests.contract.scorers import SCORERS
from tests.contract.sinks import SINKS
from tests.contract.sources import SOURCES
from tests.contract.stores import STORES

SUITES: dict[type, list[type]] = {
    StateStore: [case.implementation for case in STORES],
    Extractor: EXTRACTORS,
    PendingStore: [case.implementation for case in PENDING_STORES],
    Scorer: [case.implementation for case in SCORERS],
    RuleBook: [case.implementation for case in RULE_BOOKS],
    Policy: [case.implementation for case in POLICIES],
    Source: [case.implementation for case in SOURCES],
    Sink: [case.implementation for case in SINKS],
    # The suite is that of outlets too; but a client's producer has the methods of one, so no census tells them apart.
    Feed: [case.feed for case in FEEDS],
    Releases: [case.implementation for case in RELEASES],
}
