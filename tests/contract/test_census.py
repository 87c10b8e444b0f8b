"""A part is accepted when its contract suite is green: nothing that implements a port may be outside its suite."""

import pytest

from features.stores.working_set import TableSet
from fraud.core.ports import Policy, StateStore
from fraud.core.records import Alert
from tests.contract import census
from tests.contract.suites import SUITES


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
