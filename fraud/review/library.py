"""What the desk asks of the rest of the project: how versions that decisions name are read, and who activates one."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from fraud.core.ports import Policy
from fraud.core.records import Values
from fraud.core.releases import Release
from fraud.core.rules.ruleset import RuleSet
from fraud.core.rules.vocabulary import Vocabulary


class InUse(NamedTuple):
    """What decides now; empty texts where nobody knows."""

    model: str = ""
    rules: str = ""
    policy: str = ""
    parameters: str = ""
    release: str = ""


class Rescored(NamedTuple):
    """What is stored of a payment that was scored: its vector, which model scored it, and that model's own log-odds.

    `log_odds` are those before rules and before anything that was learned since; None where no model has spoken.
    """

    tx_id: str
    spec: str
    values: Values
    model: str
    log_odds: float | None


class Library(Protocol):
    """Versions by what decisions call them. What is not kept here is None: a page then says so."""

    def names(self, spec: str) -> tuple[str, ...] | None:
        """Return the names of the features of a spec version, in vector order."""

    def vocabulary(self) -> Vocabulary:
        """Return what rules may name today."""

    def policy(self, version: str) -> Policy | None:
        """Return a policy."""

    def rules(self, version: str) -> RuleSet | None:
        """Return compiled rules."""

    def in_use(self) -> InUse:
        """Return what decides now."""

    def score(self, model: str, learned: bytes, of: Rescored) -> float:
        """Return the probability that a model gives a payment, with learned parameters as they were published, if any.

        Raises:
            FraudError: when that cannot be told of what is stored; the message says why.
        """


class Order(NamedTuple):
    """A release to be made of rules, with the model and the policy in use: text, list files, who wants it and when."""

    rules: str
    lists: Mapping[str, str]
    by: str
    note: str
    now: int


class Releases(Protocol):
    """Where releases are activated."""

    def activate(self, order: Order) -> str:
        """Activate rules as a release, and return its name; raise FraudError where that cannot be done."""

    def rollback(self, release: str, by: str, note: str, now: int) -> str:
        """Activate an earlier release again, and return its name; raise FraudError where that cannot be done."""

    def moves(self) -> Sequence[Release]:
        """Return what was put in force, by whomever, the newest last; nothing where that cannot be told now."""

    def rules(self, version: str) -> tuple[str, Mapping[str, str]] | None:
        """Return the rules of a release with their list files by name; None where there are none, or not here."""
