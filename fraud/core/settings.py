"""Settings: one TOML text and the environment, read once into one frozen object.

A section is a frozen struct whose fields carry their help and unit (`setting`), so that the documentation is made from
what the program reads. A service that needs more sections extends `Settings`:

    class ServiceSettings(Settings, frozen=True, forbid_unknown_fields=True):
        kafka: Kafka = Kafka()

    settings = load(text, env, ServiceSettings)

The environment overrides the file: `FRAUD_MONEY__BASE=USD` is `[money] base`, `FRAUD_MONEY__RATES__GBP=1.17` an entry
of `[money.rates]`. Variables without a double underscore are no settings and are left alone.

What is secret may lie in a file of its own: `FRAUD_STORE__URL_FILE=/run/secrets/store`, or `url = { file = "..." }`.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, overload

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from fraud.core.attributes.declaration import AttrsSection
from fraud.core.card_numbers import CardsSection
from fraud.core.errors import SettingsError
from fraud.core.fields import Duration, Secret, Section, is_secret, setting
from fraud.core.labels import PRECEDENCE, Deadlines
from fraud.core.learning.settings import DriftSection, GateSection, LearningSection, RefreshSection
from fraud.core.policy import CostPolicy, ThresholdPolicy, fit_capacity
from fraud.core.ports import Policy
from fraud.core.records import DAY, MINUTE, Action, LabelSource
from fraud.core.rules.blocked import MOST as MOST_BLOCKED
from fraud.core.settings_text import PREFIX, ReadSecret, bare, check_keys, no_files, override, parsed, readable
from fraud.core.stakes import Held, Hold

MOST_MINOR = 1_000_000_000
"""No amount is believed beyond this many minor units, whatever the settings: state rows count in 32 bits."""

# Rough rates, so that a demo with common currencies runs; a site sets its own.
COMMON_BASE = "EUR"
COMMON_RATES = {
    "USD": Decimal("0.92"),
    "GBP": Decimal("1.17"),
    "CHF": Decimal("1.05"),
    "JPY": Decimal("0.0061"),
    "SEK": Decimal("0.088"),
    "PLN": Decimal("0.23"),
}


class Money(Section, frozen=True):
    """Currencies and the largest amount that is believed."""

    base: Annotated[
        str, setting("Base currency: every sum and threshold is in it.", "ISO 4217", pattern="^[A-Z]{3}$")
    ] = COMMON_BASE
    rates: Annotated[
        dict[str, Decimal],
        setting(
            "What one unit of a currency is worth in the base currency, above 0; a payment in any other is rejected. "
            "Those built in are in euros, and none where the base is another."
        ),
    ] = msgspec.field(default_factory=COMMON_RATES.copy)
    digits: Annotated[
        dict[str, Annotated[int, Meta(ge=0, le=4)]],
        setting("Decimal digits of a currency's minor unit where they are not those of ISO 4217.", "digits"),
    ] = msgspec.field(default_factory=dict)
    max_amount: Annotated[
        int,
        setting(
            "A larger amount is taken for an error and rejected.",
            "minor units of the base currency",
            gt=0,
            le=MOST_MINOR,
        ),
    ] = MOST_MINOR

    def worth(self) -> dict[str, Decimal]:
        """Return what one unit of each other currency is worth in the base; those built in are in euros.

        Raises:
            SettingsError: when a rate is not above 0, or the base has one that is not 1.
        """
        if self.base != COMMON_BASE and self.rates == COMMON_RATES:
            return {}
        for code, rate in self.rates.items():
            said = f"money.rates.{code} is {rate}"
            if not rate.is_finite() or rate <= 0:
                msg = f"{said}: expected a number above 0, what one {code} is worth in {self.base}"
                raise SettingsError(msg)
            if code == self.base and rate != 1:
                msg = f"{said}, but {code} is the base currency (money.base): leave the rate out"
                raise SettingsError(msg)
        return self.rates


class LatenessSection(Section, frozen=True):
    """How far events may be out of order."""

    allowed: Annotated[
        Duration, setting("An event further behind the newest one is still scored, and marked late.", "duration")
    ] = Duration(DAY)
    future: Annotated[
        Duration, setting("An event further ahead of its arrival has a wrong clock and is rejected.", "duration")
    ] = Duration(5 * MINUTE)


class CapacityBudget(Section, frozen=True):
    """How many alerts can be worked on."""

    alert_share: Annotated[float, setting("Share of payments above approve.", "share", gt=0, le=1)] = 0.01
    alerts_a_day: Annotated[
        float, setting("Alerts a day; with payments_a_day it takes the place of alert_share.", "alerts", ge=0)
    ] = 0.0
    payments_a_day: Annotated[float, setting("Payments a day that alerts_a_day refers to.", "payments", ge=0)] = 0.0


class PolicySection(Section, frozen=True):
    """How a score becomes an action."""

    kind: Annotated[
        Literal["cost", "capacity", "threshold"],
        setting("Cheapest action by costs, an alert budget, or fixed thresholds."),
    ] = "cost"
    cost: Annotated[CostPolicy, setting("Costs of each action.", "shares of the amount; minor units")] = CostPolicy()
    capacity: Annotated[CapacityBudget, setting("The alert budget.")] = CapacityBudget()
    threshold: Annotated[ThresholdPolicy, setting("Fixed thresholds.", "probability")] = ThresholdPolicy()
    hold: Annotated[Hold, setting("The time-out of held payments.")] = Hold()

    def build(self, scores: NDArray[np.floating] | Sequence[float] = ()) -> Policy:
        """Return the policy chosen; a capacity policy is fitted on reference `scores`.

        Raises:
            SettingsError: when a capacity policy is chosen and there are no scores.
        """
        chosen, timed_out = self._chosen(scores), Action(self.hold.action)
        # A policy by itself lets held payments pass: it keeps the version that it had before there was a time-out.
        return chosen if timed_out is Action.APPROVE else Held(chosen, timed_out)

    def _chosen(self, scores: NDArray[np.floating] | Sequence[float]) -> CostPolicy | ThresholdPolicy:
        if self.kind == "cost":
            return self.cost
        if self.kind == "threshold":
            return self.threshold
        budget = self.capacity
        if budget.alerts_a_day:
            return fit_capacity(scores, alerts_a_day=budget.alerts_a_day, payments_a_day=budget.payments_a_day)
        return fit_capacity(scores, share=budget.alert_share)


class PolicyText(Section, frozen=True):
    """The policy alone, as a file of its own has it."""

    policy: PolicySection = PolicySection()


class RulesSection(Section, frozen=True):
    """Analyst rules."""

    file: Annotated[
        str,
        setting(
            "File of rules and lists, taken up again when it changes; 'default': the shipped one; empty: none.", "path"
        ),
    ] = ""
    most_blocked: Annotated[
        int,
        setting("Cards that analysts may have blocked at once; more are refused. 0: workers obey none.", "cards", ge=0),
    ] = MOST_BLOCKED


class EngineSection(Section, frozen=True):
    """The engine and its loop."""

    batch: Annotated[int, setting("Most events taken at once.", "events", ge=1, le=4096)] = 32
    retry_horizon: Annotated[
        Duration, setting("How long a payment sent again gets its first answer again.", "duration")
    ] = Duration(15 * MINUTE)


class LabelsSection(Section, frozen=True):
    """Verdicts: by silence, late ones, and whose counts."""

    deadline: Annotated[
        Duration, setting("Silence after a payment that long means that it was genuine.", "duration")
    ] = Duration(45 * DAY)
    by_channel: Annotated[
        dict[str, Duration], setting('Deadlines of channels where it differs, such as pos = "30d".', "duration")
    ] = msgspec.field(default_factory=dict)
    keep: Annotated[Duration, setting("A payment is remembered for so long; a later label finds none.", "duration")] = (
        Duration(180 * DAY)
    )
    keep_vectors: Annotated[
        Duration, setting("Its vector is kept for so long, to the deadline at least, to be learned from.", "duration")
    ] = Duration(45 * DAY)
    most_vectors: Annotated[
        int, setting("Vectors kept in memory by replays and the demo; the oldest beyond it go.", "vectors", ge=0)
    ] = 100_000
    precedence: Annotated[
        tuple[LabelSource, ...], setting("Whose verdict counts where sources differ, the most believed first.")
    ] = PRECEDENCE

    def deadlines(self) -> Deadlines:
        """Return when things fall due.

        Raises:
            SettingsError: when payments would be forgotten before silence has spoken of them.
        """
        latest = max((self.deadline, *self.by_channel.values()))
        if self.keep < latest:
            msg = (
                f"labels.keep is {self.keep}, less than the deadline of {latest}: a payment is kept until silence has "
                f"spoken of it; set it to {latest} at least"
            )
            raise SettingsError(msg)
        return Deadlines(self.deadline, dict(self.by_channel), self.keep, self.keep_vectors)

    def vectors_for(self) -> int:
        """Return for how long every payment's vector is kept at least, ns."""
        return max(self.keep_vectors, min((self.deadline, *self.by_channel.values())))

    def believed(self) -> tuple[LabelSource, ...]:
        """Return the sources by how much they are believed.

        Raises:
            SettingsError: when one is missing or named twice.
        """
        if sorted(self.precedence) != sorted(LabelSource):
            given, known = ", ".join(self.precedence), ", ".join(PRECEDENCE)
            msg = f"labels.precedence is [{given}]: expected each of {known} once"
            raise SettingsError(msg)
        return self.precedence


class ModelSection(Section, frozen=True):
    """The model."""

    name: Annotated[str, setting("The artifact that scores; 'rules' scores nothing and always exists.")] = "rules"
    folder: Annotated[str, setting("Folder of the model registry.", "path")] = "build/models"
    trusted: Annotated[
        tuple[str, ...],
        setting("Public keys of those whose signature a model needs, any of them; empty: no model needs one."),
    ] = ()


class ReasonsSection(Section, frozen=True):
    """What alerts say beside their score."""

    evidence: Annotated[
        bool, setting("Send with each alert the effects of all groups and of single events, in header evidence.")
    ] = True


class PathsSection(Section, frozen=True):
    """Where files are kept."""

    state: Annotated[str, setting("Folder of the label book's file.", "path")] = "build/state"
    dead: Annotated[str, setting("File that events which cannot be read go to.", "path")] = "build/dead.jsonl"
    releases: Annotated[str, setting("Folder of the releases of an engine without a store.", "path")] = "build/releases"


class Settings(Section, frozen=True):
    """Every setting of the core, by section."""

    money: Money = Money()
    lateness: LatenessSection = LatenessSection()
    cards: CardsSection = CardsSection()
    attrs: AttrsSection = AttrsSection()
    policy: PolicySection = PolicySection()
    rules: RulesSection = RulesSection()
    engine: EngineSection = EngineSection()
    labels: LabelsSection = LabelsSection()
    model: ModelSection = ModelSection()
    reasons: ReasonsSection = ReasonsSection()
    refresh: RefreshSection = RefreshSection()
    gate: GateSection = GateSection()
    learning: LearningSection = LearningSection()
    drift: DriftSection = DriftSection()
    paths: PathsSection = PathsSection()


class Described(msgspec.Struct, frozen=True):
    """One setting, for documentation: `key` is its place (`money.base`), `value` the default as TOML shows it.

    Of a `secret` one the value is not shown, or without its password.
    """

    key: str
    value: str
    unit: str
    help: str
    secret: bool = False

    @property
    def variable(self) -> str:
        """Return the environment variable that sets it."""
        return PREFIX + self.key.upper().replace(".", "__")


S = TypeVar("S", bound=Section)


@overload
def load(text: str, env: Mapping[str, str]) -> Settings: ...


@overload
def load(text: str, env: Mapping[str, str], kind: type[S], read: ReadSecret = no_files) -> S: ...


def load(text: str, env: Mapping[str, str], kind: type[Section] = Settings, read: ReadSecret = no_files) -> Section:
    """Return the settings of a TOML text, overridden by `FRAUD_SECTION__KEY` variables of `env`.

    `read` returns what lies in the file of a secret.

    Raises:
        SettingsError: when the text is not TOML, a key is unknown, or a value is of the wrong kind or out of range.
    """
    tree = parsed(text)
    check_keys(tree, kind, "", read)
    for name in sorted(env):
        if name.startswith(PREFIX) and "__" in name:
            override(tree, name, env, kind, read)
    try:
        return msgspec.convert(tree, kind, dec_hook=_decode)
    except msgspec.ValidationError as fault:
        msg = f"settings: {readable(str(fault))}"
        raise SettingsError(msg) from fault


def describe(kind: type[Settings] = Settings, values: Settings | None = None) -> Iterator[Described]:
    """Yield every setting in order, with its default (or its value in `values`), unit and help."""
    yield from _described(values or kind(), "", "")


def policy_text(policy: PolicySection) -> str:
    """Return a policy as the TOML that `PolicyText` is read from, every setting in it.

    >>> load(policy_text(PolicySection(kind="threshold")), {}, PolicyText).policy.kind
    'threshold'
    """
    return "".join(f"{item.key} = {item.value}\n" for item in _described(policy, "policy.", ""))


def reference(kind: type[Settings] = Settings) -> str:
    """Return the table of all settings in Markdown."""
    rows = [f"| `{item.key}` | `{item.value}` | {item.unit} | {item.help} |" for item in describe(kind)]
    return "\n".join(["| setting | default | unit | meaning |", "|---|---|---|---|", *rows])


def _decode(kind: type, value: Any) -> Any:
    """Read what msgspec does not know: spans of time, and secrets."""
    if kind is Duration:
        return Duration.parse(value)
    if issubclass(kind, Secret):
        return kind(_text(value))
    msg = f"a {kind.__name__} cannot be a setting"
    raise TypeError(msg)


def _text(value: Any) -> str:
    """Return a secret's text; raise ValueError for anything that is none, without showing it."""
    if not isinstance(value, str):
        msg = f"Expected `str`, got `{type(value).__name__}`"
        raise ValueError(msg)
    return value


def _described(values: msgspec.Struct, place: str, unit: str) -> Iterator[Described]:
    # a table's own keys come before its tables: TOML cannot go back to it
    fields = msgspec.structs.fields(values)
    for field in sorted(fields, key=lambda field: isinstance(getattr(values, field.name), msgspec.Struct)):
        value = getattr(values, field.name)
        key, (help_text, own) = f"{place}{field.name}", _help(field.type)
        if isinstance(value, msgspec.Struct):
            yield from _described(value, f"{key}.", own)
        else:
            yield Described(key, _shown(value), own or unit, help_text, is_secret(bare(field.type)))


def _help(kind: Any) -> tuple[str, str]:
    """Return the help and unit that an annotation carries."""
    metas = [meta for meta in get_args(kind)[1:] if isinstance(meta, Meta)] if get_origin(kind) is Annotated else []
    return (metas[0].description or "", (metas[0].extra or {}).get("unit", "")) if metas else ("", "")


def _shown(value: Any) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_shown(one)}" for key, one in value.items()) + " }" if value else "{}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, Duration | str):
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else str(value)
