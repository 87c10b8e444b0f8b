"""Charts as plain numbers, and as JSON that cannot end the element it stands in."""

import json

import msgspec

from fraud.dashboard import charts
from fraud.dashboard.pages import Pages
from tests.dashboard.markup import Markup
from tests.dashboard.seeded_leads import model, team, young_model
from tests.dashboard.shown import Shown, scene


def test_hours_are_lines_over_seconds() -> None:
    chart = charts.hours(team())
    assert (chart.axis, chart.kind) == ("time", "lines")
    assert chart.at[1] - chart.at[0] == 3_600
    assert [series.name for series in chart.series] == ["came", "decided", "timed out"]


def test_scores_are_shares_and_nothing_has_no_bar_on_a_logarithmic_height() -> None:
    view = msgspec.structs.replace(
        model(), scores=(*model().scores[:2], msgspec.structs.replace(model().scores[2], today=0))
    )
    today, days = charts.scores(view).series
    assert today.values[2] is None
    assert sum(value or 0 for value in today.values) == 1
    assert sum(value or 0 for value in days.values) == 1


def test_calibration_goes_by_what_was_said() -> None:
    chart = charts.calibration(model())
    assert list(chart.at) == sorted(chart.at)
    assert chart.diagonal
    assert charts.calibration(young_model()).at == ()


def test_json_of_a_chart_cannot_end_its_script() -> None:
    pages = Pages()
    hostile = charts.Chart("time", "lines", (), (charts.Series("</script><b>&", ()),))
    text = pages.environment.from_string("{{ chart|json }}").render(chart=hostile)
    assert "<" not in text
    assert json.loads(text)["series"][0]["name"] == "</script><b>&"
    shown = Shown("team", team(), "/team")
    page = Markup(pages.render("team", shown.view, scene(shown)))
    assert json.loads(page.by_id("hours").text)["kind"] == "lines"
