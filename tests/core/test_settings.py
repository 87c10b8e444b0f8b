"""Settings: file and environment, unknown keys named with the nearest, every one described."""

from decimal import Decimal
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.core.errors import SettingsError
from fraud.core.fields import UNITS, Duration, Section, setting
from fraud.core.policy import CapacityPolicy, CostPolicy, ThresholdPolicy
from fraud.core.records import DAY, HOUR, MINUTE
from fraud.core.settings import Settings, describe, load, reference


class Kafka(Section, frozen=True):
    """A section that a service adds."""

    bootstrap: Annotated[str, setting("Brokers.", "host:port")] = "localhost:9092"
    idempotent: Annotated[bool, setting("Write each record once.")] = True


class ServiceSettings(Settings, frozen=True, forbid_unknown_fields=True):
    """Core settings and one more section."""

    kafka: Kafka = Kafka()


def test_settings_of_nothing_are_the_defaults() -> None:
    settings = load("", {"PATH": "/bin", "FRAUD_DATA": "no setting"})
    assert settings == Settings()
    assert settings.lateness.allowed == DAY
    assert settings.engine.batch == 32
    assert settings.engine.retry_horizon == 15 * MINUTE


def test_settings_file_sets_nested_values() -> None:
    text = """
    [money]
    base = "CHF"
    rates = { EUR = 0.95, USD = "0.88" }
    [lateness]
    allowed = "36h"
    [policy]
    kind = "threshold"
    threshold = { challenge = 0.2, review = 0.5, decline = 1 }
    [labels.by_channel]
    pos = "30d"
    """
    settings = load(text, {})
    assert settings.money.rates == {"EUR": Decimal("0.95"), "USD": Decimal("0.88")}
    assert settings.lateness.allowed == 36 * HOUR
    assert settings.labels.by_channel == {"pos": 30 * DAY}
    assert settings.policy.build() == ThresholdPolicy(0.2, 0.5, 1.0)


def test_settings_environment_overrides_the_file() -> None:
    env = {
        "FRAUD_ENGINE__BATCH": "64",
        "FRAUD_ENGINE__RETRY_HORIZON": "30m",
        "FRAUD_MONEY__RATES__GBP": "1.17",
        "FRAUD_MONEY__BASE": "USD",
        "FRAUD_POLICY__COST__REVIEW_FIXED": "250",
        "FRAUD_LABELS__BY_CHANNEL": '{ ecom = "60d" }',
    }
    settings = load("[engine]\nbatch = 8\n[money.rates]\nEUR = 1.09", env)
    assert settings.engine.batch == 64
    assert settings.engine.retry_horizon == 30 * MINUTE
    assert settings.money.rates == {"EUR": Decimal("1.09"), "GBP": Decimal("1.17")}
    assert settings.money.base == "USD"
    assert settings.policy.cost == CostPolicy(review_fixed=250.0)
    assert settings.labels.by_channel == {"ecom": 60 * DAY}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[engin]\nbatch = 1", "unknown section 'engin'. Did you mean 'engine'?"),
        ("[engine]\nbach = 1", "unknown key 'engine.bach'. Did you mean 'batch'?"),
        ("[policy.cost]\nreviw_fixed = 1", "unknown key 'policy.cost.reviw_fixed'. Did you mean 'review_fixed'?"),
        ("[engine]\nbatch = 0", "engine.batch: Expected `int` >= 1"),
        ("[engine]\nbatch = '3'", "engine.batch: Expected `int`, got `str`"),
        ("[engine.batch]\nsize = 1", "'engine.batch.size' has nothing below it"),
        ("[lateness]\nallowed = 3", "lateness.allowed: 3 is no duration: expected text with a number and a unit"),
        ("[policy]\nkind = 'costs'", "policy.kind: Invalid enum value 'costs'"),
        ("[policy.cost]\nreview_fixed = -1", "policy cost review_fixed = -1.0: expected a number from 0"),
        ("[money]\nbase = 'euro'", "money.base"),
        ("[engine\n", "not TOML"),
    ],
)
def test_settings_fault_is_named(text: str, expected: str) -> None:
    with pytest.raises(SettingsError) as fault:
        load(text, {})
    assert expected in str(fault.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("FRAUD_ENGIN__BATCH", "1", "FRAUD_ENGIN__BATCH: settings: unknown section 'engin'. Did you mean 'engine'?"),
        ("FRAUD_ENGINE__BACH", "1", "unknown key 'engine.bach'. Did you mean 'batch'?"),
        ("FRAUD_ENGINE__BATCH", "many", "FRAUD_ENGINE__BATCH: 'many'"),
        ("FRAUD_ENGINE__RETRY_HORIZON", "15", "engine.retry_horizon: '15' is no duration"),
    ],
)
def test_settings_faulty_variable_is_named(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError) as fault:
        load("", {name: value})
    assert expected in str(fault.value)


def test_settings_take_more_sections() -> None:
    settings = load("[kafka]\nbootstrap = 'a:1'", {"FRAUD_KAFKA__IDEMPOTENT": "false"}, ServiceSettings)
    assert settings.kafka == Kafka("a:1", idempotent=False)
    with pytest.raises(SettingsError, match="unknown section 'kafka'"):
        load("[kafka]\nbootstrap = 'a:1'", {})


def test_settings_policy_is_built_from_its_kind() -> None:
    assert load("", {}).policy.build() == CostPolicy()
    capacity = load("[policy]\nkind='capacity'\n[policy.capacity]\nalert_share=0.5", {}).policy
    built = capacity.build([0.1, 0.2, 0.3, 0.4])
    assert isinstance(built, CapacityPolicy)
    assert built.challenge == 0.3
    with pytest.raises(SettingsError, match="over 0 scores"):
        capacity.build()


def test_settings_capacity_in_alerts_a_day() -> None:
    text = "[policy]\nkind='capacity'\n[policy.capacity]\nalerts_a_day=1\npayments_a_day=4"
    built = load(text, {}).policy.build([0.1, 0.2, 0.3, 0.4])
    assert isinstance(built, CapacityPolicy)
    assert built.alert_share == 0.25


def test_every_setting_is_described() -> None:
    found = list(describe(ServiceSettings))
    assert {item.key for item in found} >= {"money.base", "policy.cost.review_fixed", "kafka.bootstrap"}
    assert [item.key for item in found if not item.help] == []
    assert all(f"`{item.key}`" in reference(ServiceSettings) for item in found)


def test_described_defaults_load_as_toml() -> None:
    lines = [f"{item.key} = {item.value}" for item in describe()]
    assert load("\n".join(lines), {}) == Settings()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        load("", {}).engine.batch = 3  # type: ignore[misc]


@given(st.integers(0, 10_000), st.sampled_from(sorted(UNITS)))
def test_duration_reads_what_it_shows(count: int, unit: str) -> None:
    span = Duration.parse(f"{count}{unit}")
    assert span == count * UNITS[unit]
    assert Duration.parse(str(span)) == span


@pytest.mark.parametrize("text", ["", "m", "10", "10 m x", "-3m", "1y", 5, None])
def test_duration_without_unit_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        Duration.parse(text)


def test_setting_without_annotation_would_be_found() -> None:
    class Bare(Section, frozen=True):
        x: int = 1

    class More(Settings, frozen=True, forbid_unknown_fields=True):
        bare: Bare = Bare()

    assert [item.key for item in describe(More) if not item.help] == ["bare.x"]
    assert msgspec.structs.asdict(Bare()) == {"x": 1}


def test_labels_that_contradict_are_refused_with_the_repair() -> None:
    late = load('[labels]\nkeep = "20d"\nby_channel = {pos = "30d"}\ndeadline = "10d"', {})
    with pytest.raises(SettingsError, match=r"labels.keep is 20d.*30d.*set it to 30d at least"):
        late.labels.deadlines()
    once = load('[labels]\nprecedence = ["analyst", "chargeback", "analyst"]', {})
    with pytest.raises(SettingsError, match=r"labels.precedence is \[analyst, chargeback, analyst\].*once"):
        once.labels.believed()


def test_precedence_of_labels_is_read_in_its_order() -> None:
    text = 'precedence = ["analyst", "chargeback", "silence"]'
    assert load(f"[labels]\n{text}", {}).labels.believed() == ("analyst", "chargeback", "silence")


def test_rates_belong_to_their_base() -> None:
    assert load('[money]\nbase = "USD"', {}).money.worth() == {}
    assert load("", {}).money.worth()["USD"] == Decimal("0.92")
    assert load('[money]\nbase = "USD"\n[money.rates]\nGBP = 1.27', {}).money.worth() == {"GBP": Decimal("1.27")}


@pytest.mark.parametrize(
    ("rate", "why"), [("USD = 0", "above 0"), ("USD = -0.92", "above 0"), ("EUR = 2", "leave the rate out")]
)
def test_rate_that_cannot_be_is_refused(rate: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        load(f"[money.rates]\n{rate}", {}).money.worth()
