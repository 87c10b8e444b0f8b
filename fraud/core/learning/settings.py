"""The settings of learning from late labels: sections `refresh`, `gate`, `learning` and `drift`.

Defaults are the constants that the parts were measured with; each says where it stands in the code.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from fraud.core.errors import SettingsError
from fraud.core.fields import Duration, Section, positive, setting
from fraud.core.learning.charts import CHARTS, Chart
from fraud.core.learning.guard import STEP_RMS
from fraud.core.learning.outcomes import EASY_SHARE
from fraud.core.records import DAY, HOUR, MINUTE

Pace = Annotated[float, Meta(gt=0, le=1)]


class RefreshSection(Section, frozen=True):
    """How parameters are refreshed."""

    enabled: Annotated[
        bool, setting("Learn from labels and refresh the model's parameters; switch the gate on too.")
    ] = False
    every: Annotated[Duration, setting("A refresh period: at its end labels are learned.", "duration")] = Duration(
        MINUTE
    )
    clock: Annotated[
        Literal["wall", "stream"],
        setting("Whose time ends a period: the learner's clock, or the stream's, which a demo runs faster."),
    ] = "wall"
    paces: Annotated[tuple[Pace, Pace], setting("Learning rates of the slow and the fast learner.", "AdaGrad rate")] = (
        0.002,
        0.01,
    )
    clip: Annotated[float, setting("No payment is moved further by what was learned.", "log-odds", gt=0, le=20)] = 3.0
    step_rms: Annotated[
        float,
        setting("One refresh moves the last decisions by no more; a longer step is cut.", "log-odds, rms", gt=0, le=20),
    ] = STEP_RMS

    def __post_init__(self) -> None:
        """Refuse a period of no length."""
        positive(self, "every")


Rho = Annotated[float, setting("Share of flipped labels that is looked for.", "share", gt=0, lt=0.5)]
Alarm = Annotated[float, setting("Evidence at which labels are held until somebody decides.", "nats", gt=0)]
Least = Annotated[float, setting("Only payments of this base probability and above.", "probability", ge=0, lt=1)]


class ChartSection(Section, frozen=True):
    """What one kind of the gate's charts looks for."""

    rho: Rho
    alarm: Alarm
    least: Least


class SourceChart(ChartSection, frozen=True):
    """Every label of a source."""

    rho: Rho = CHARTS[0].rho
    alarm: Alarm = CHARTS[0].alarm
    least: Least = CHARTS[0].least


class StrongChart(ChartSection, frozen=True):
    """Labels of a source on payments that look bad."""

    rho: Rho = CHARTS[1].rho
    alarm: Alarm = CHARTS[1].alarm
    least: Least = CHARTS[1].least


class MerchantChart(ChartSection, frozen=True):
    """Labels on payments at a merchant that look bad."""

    rho: Rho = CHARTS[2].rho
    alarm: Alarm = CHARTS[2].alarm
    least: Least = CHARTS[2].least


class DeviceChart(ChartSection, frozen=True):
    """Labels on payments from a device that look bad."""

    rho: Rho = CHARTS[3].rho
    alarm: Alarm = CHARTS[3].alarm
    least: Least = CHARTS[3].least


class SureChart(ChartSection, frozen=True):
    """Labels of a source on payments of which the base is sure; frauds lower it."""

    rho: Rho = CHARTS[4].rho
    alarm: Alarm = CHARTS[4].alarm
    least: Least = CHARTS[4].least


class GateSection(Section, frozen=True):
    """What is held of labels that do not fit what the base model said."""

    enabled: Annotated[
        bool,
        setting(
            "Hold labels until their refresh period ends, and on where they look flipped; the same in training, replay "
            "and service, for features see a label up to a period later."
        ),
    ] = False
    patience: Annotated[
        Duration,
        setting(
            "Labels that no alarm holds wait no longer, in whole refresh periods, whatever a chart says.", "duration"
        ),
    ] = Duration(HOUR)
    source: SourceChart = SourceChart()
    source_strong: StrongChart = StrongChart()
    merchant: MerchantChart = MerchantChart()
    device: DeviceChart = DeviceChart()
    source_sure: SureChart = SureChart()

    def periods(self, every: int) -> int:
        """Return for how many refresh periods of `every` ns a label waits at most."""
        return -(-self.patience // every)

    def charts(self) -> tuple[Chart, ...]:
        """Return the gate's charts."""
        given: Sequence[ChartSection] = (
            self.source, self.source_strong, self.merchant, self.device, self.source_sure,
        )  # fmt: skip
        return tuple(
            chart._replace(rho=one.rho, alarm=one.alarm, least=one.least)
            for chart, one in zip(CHARTS, given, strict=True)
        )


class LearningSection(Section, frozen=True):
    """What is learned of labels, and when."""

    maturity: Annotated[
        Duration,
        setting(
            "Age at which a payment is learned, told or untold; an analyst's verdict is learned as it comes.",
            "duration",
        ),
    ] = Duration(7 * DAY)
    easy_share: Annotated[
        float,
        setting(
            "Share of payments below p = .01 that is learned from, with the likelihood of what was kept.",
            "share",
            gt=0,
            le=1,
        ),
    ] = EASY_SHARE

    def __post_init__(self) -> None:
        """Refuse to learn of payments before they are made."""
        positive(self, "maturity")

    def age(self, kept: int) -> int:
        """Return the age at which payments are learned, ns, where their vectors are `kept` for so long.

        Raises:
            SettingsError: when a payment's vector would be gone by then.
        """
        if self.maturity > kept:
            msg = (
                f"learning.maturity is {self.maturity}, but vectors are kept for {Duration(kept)}: a payment could not "
                f"be learned any more; set labels.keep_vectors to {self.maturity} at least"
            )
            raise SettingsError(msg)
        return self.maturity


class DriftSection(Section, frozen=True):
    """What is watched for drift, and what is done about it."""

    psi: Annotated[
        float,
        setting(
            "Population stability index, less what chance gives, from which a feature or the score has drifted.",
            "nats",
            gt=0,
        ),
    ] = 0.25
    action: Annotated[
        Literal["page", "hold", "raise-review"],
        setting(
            "page says so; hold also keeps the parameters in force until somebody lets refreshes go on; raise-review "
            "also says where review would have to begin for as many alerts as before, and changes nothing."
        ),
    ] = "page"
    window: Annotated[Duration, setting("Stretch of the stream that is compared with the reference.", "duration")] = (
        Duration(7 * DAY)
    )
    reference: Annotated[
        int,
        setting(
            "Decisions, spread over a base model's first window, that its features are compared with.",
            "decisions",
            ge=100,
            le=100_000,
        ),
    ] = 2_000
    least: Annotated[int, setting("A window with fewer is joined with the next one.", "decisions", ge=100)] = 1_000
    bins: Annotated[int, setting("Bins of equal share in the reference.", "bins", ge=2, le=100)] = 10

    def __post_init__(self) -> None:
        """Refuse windows of no length."""
        positive(self, "window")
