"""The sections of learning: defaults are what the parts were measured with, and what cannot be is refused."""

import pytest

from fraud.core.errors import SettingsError
from fraud.core.learning.charts import CHARTS
from fraud.core.records import DAY, MINUTE
from fraud.core.settings import LabelsSection, Settings, load
from models.online.learner import FAST, SLOW
from models.online.parameters import CLIP
from models.online.stack import PACES


def test_defaults_are_what_the_parts_were_measured_with() -> None:
    settings = Settings()
    assert settings.gate.charts() == CHARTS
    assert settings.refresh.paces == (SLOW, FAST) == PACES
    assert settings.refresh.clip == CLIP
    assert (settings.refresh.every, settings.learning.maturity) == (MINUTE, 7 * DAY)
    assert not settings.refresh.enabled
    assert not settings.gate.enabled


def test_one_number_of_a_chart_is_set_and_the_others_stay() -> None:
    gate = load("[gate.merchant]\nalarm = 12", {"FRAUD_GATE__SOURCE__RHO": "0.1"}).gate
    source, strong, merchant, device, _ = gate.charts()
    assert (merchant.alarm, merchant.rho) == (12, CHARTS[2].rho)
    assert (source.rho, strong, device) == (0.1, CHARTS[1], CHARTS[3])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[gate.merchant]\nrho = 0.5", "gate.merchant.rho"),
        ("[refresh]\npaces = [0.002]", "refresh.paces"),
        ("[refresh]\npaces = [0.002, 0]", "refresh.paces"),
        ('[refresh]\nevery = "0s"', "every is 0s, expected a span of time above 0"),
        ('[learning]\nmaturity = "0d"', "maturity is 0s"),
        ('[drift]\nwindow = "0d"', "window is 0s"),
        ('[drift]\naction = "ring"', "drift.action"),
        ("[gate]\nmerchants = 1", "unknown key 'gate.merchants'. Did you mean 'merchant'?"),
    ],
)
def test_what_cannot_be_is_refused_by_name(text: str, expected: str) -> None:
    with pytest.raises(SettingsError) as fault:
        load(text, {})
    assert expected in str(fault.value)


def test_a_payment_is_learned_while_its_vector_is_kept() -> None:
    labels = LabelsSection()
    assert Settings().learning.age(labels.vectors_for()) == 7 * DAY
    late = load('[learning]\nmaturity = "60d"', {}).learning
    with pytest.raises(SettingsError, match=r"vectors are kept for 45d.*set labels.keep_vectors to 60d at least"):
        late.age(labels.vectors_for())
    long = load('[labels]\nkeep_vectors = "90d"', {}).labels
    assert late.age(long.vectors_for()) == 60 * DAY


def test_a_channel_with_an_early_deadline_does_not_shorten_what_is_kept_for_all() -> None:
    labels = load('[labels.by_channel]\npos = "5d"', {}).labels
    assert labels.vectors_for() == 45 * DAY
