"""A part is accepted when its contract suite is green: nothing that implements a port may be outside its suite."""

import pytest

from features.stores.working_set import TableSet
from fraud.core.labels import PendingStore
from fraud.core.ports import Extractor, Policy, RuleBook, Scorer, Sink, Source, StateStore
from fraud.core.records import Alert
from tests.contract import census
from tests.contract.pending_stores import PENDING_STORES
from tests.contract.policies import POLICIES
from tests.contract.rule_books import RULE_BOOKS
from tests.contract.scorers import SCORERS
from tests.contract.sinks import SINKS
from tests.contract.sources import SOURCES
from tests.contract.stores import STORES
from tests.contract.test_extractor import EXTRACTORS

SUITES: dict[type, list[type]] = {
    StateStore: [case.implementation for case in STORES],
    Extractor: EXTRACTORS,
    PendingStore: [case.implementation for case in PENDING_STORES],
    Scorer: [case.implementation for case in SCORERS],
    RuleBook: [case.implementation for case in RULE_BOOKS],
    Policy: [case.implementation for case in POLICIES],
    Source: [case.implementation for case in SOURCES],
    Sink: [case.implementation for case in SINKS],
}


@pytest.mark.parametrize("port", SUITES, ids=lambda port: port.__name__)
def test_every_implementation_of_a_port_is_in_its_suite(port: type) -> None:
    missing = census.implementations(port) - {census.qualified(each) for each in SUITES[port]}
    assert not missing, f"not in the contract suite of {port.__name__}: {sorted(missing)}"


@pytest.mark.parametrize("port", SUITES, ids=lambda port: port.__name__)
def test_the_census_finds_what_is_in_the_suite(port: type) -> None:
    assert census.implementations(port) >= {census.qualified(each) for each in SUITES[port]}


def test_the_census_does_not_take_a_record_for_an_implementation() -> None:
    """An alert has fields that are called as all that a policy has."""
    assert {"version", "action", "expected_loss"} <= {*Alert.__struct_fields__}
    assert census.qualified(Alert) not in census.implementations(Policy)


def test_the_census_does_not_take_a_port_for_an_implementation() -> None:
    assert census.qualified(TableSet) not in census.implementations(StateStore)
    assert not [name for name in census.implementations(StateStore) if name.endswith("TableStore")]
