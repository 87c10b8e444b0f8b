"""What the charts of the team and model pages draw: numbers, as JSON in the page; a table beside says the same."""

from typing import Literal

import msgspec

from fraud.core.records import SECOND
from fraud.dashboard.formats import share
from fraud.review.page_views import ModelView, TeamView


class Series(msgspec.Struct, frozen=True):
    """One line, or one set of bars: its name, which stands at its end, and its values; None where there is none."""

    name: str
    values: tuple[float | None, ...]


class Chart(msgspec.Struct, frozen=True):
    """A chart: `at` are its places. `axis` says what they are: seconds since the epoch, shares, or numbers of `bands`.

    `log`: a logarithmic height.
    """

    axis: Literal["time", "share", "band"]
    kind: Literal["lines", "bars", "points"]
    at: tuple[float, ...]
    series: tuple[Series, ...]
    bands: tuple[str, ...] = ()
    log: bool = False
    diagonal: bool = False
    """A line from nothing to everything stands behind: where what was said is what came."""


def hours(view: TeamView) -> Chart:
    """Return what came and what was decided, by hour."""
    rows = view.hours
    return Chart(
        "time",
        "lines",
        tuple(row.at / SECOND for row in rows),
        (
            Series("came", tuple(row.came for row in rows)),
            Series("decided", tuple(row.decided for row in rows)),
            Series("timed out", tuple(row.timed_out for row in rows)),
        ),
    )


def calibration(view: ModelView) -> Chart:
    """Return what came of what was said, by band of probability."""
    bins = sorted(view.calibration, key=lambda found: found.said)
    came = tuple(found.came for found in bins)
    return Chart("share", "points", tuple(found.said for found in bins), (Series("came", came),), diagonal=True)


def scores(view: ModelView) -> Chart:
    """Return the share of decisions by score, today's beside those of thirty days."""
    bars = view.scores
    today, days = sum(bar.today for bar in bars), sum(bar.days for bar in bars)
    return Chart(
        "band",
        "bars",
        tuple(range(len(bars))),
        (
            Series("today", tuple(_part(bar.today, today) for bar in bars)),
            Series("30 days", tuple(_part(bar.days, days) for bar in bars)),
        ),
        bands=tuple(share(bar.low) for bar in bars),
        log=True,
    )


def _part(count: int, whole: int) -> float | None:
    """Return a share; None for nothing, which has no place on a logarithmic height."""
    return count / whole if count and whole else None
