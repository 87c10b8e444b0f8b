"""Views of what leads and administrators see, filled by hand."""

import itertools

import msgspec

from fraud.core.records import DAY, HOUR, MINUTE, SECOND
from fraud.review.page_views import (
    Aged,
    Bin,
    Checked,
    Deciding,
    DiffLine,
    Dispute,
    DriftRow,
    FaultRow,
    Hour,
    InviteRow,
    LabelsView,
    ListUse,
    MemberRow,
    ModelBin,
    ModelView,
    PendingOrder,
    RefreshRow,
    RefreshView,
    ReleaseView,
    RulesDiff,
    RulesView,
    RuleUse,
    RuleVersion,
    ScoreBar,
    SecondRow,
    Share,
    StageRow,
    TeamView,
    UserRow,
    UsersView,
    Waste,
)
from fraud.review.views import QueueQuery
from tests.dashboard.seeded import NASTY, NOW


def some(part: int, whole: int) -> Share:
    value = part / whole if whole else None
    return Share(part, whole, value, value and max(0.0, value - 0.07), value and min(1.0, value + 0.07))


def _aged(*counts: int) -> tuple[Aged, ...]:
    return tuple(Aged(below, count, 990 * count) for below, count in zip((HOUR, DAY, 3 * DAY, 0), counts, strict=True))


def team() -> TeamView:
    hours = tuple(
        Hour(NOW - (8 - place) * HOUR, 20 + 7 * (place % 3), 15 + 5 * (place % 4), place % 2) for place in range(8)
    )
    return TeamView(
        base="EUR",
        asked_at=NOW,
        day_at=NOW - 14 * HOUR,
        came=212,
        decided=164,
        timed_out=3,
        waiting=45,
        at_stake=191_120,
        capacity_left=61,
        closes_at=NOW + 4 * HOUR,
        ageing=(Aged(15 * MINUTE, 21, 90_000), Aged(HOUR, 24, 100_000), Aged(4 * HOUR, 0, 0), Aged(0, 0, 0)),
        near_deadline=4,
        oldest_at=NOW - 51 * MINUTE,
        precision={"held": some(38, 100), "declined": some(97, 100), "sample": some(0, 0)},
        hours=hours,
        members=(
            MemberRow(1, "A. Novak", "lead", 1, 61, 38.2, some(25, 61), some(1, 61), some(17, 18), 0.86, NOW - SECOND),
            MemberRow(
                2, "B. Lang", "analyst", 2, 58, 44.0, some(21, 58), some(2, 58), some(16, 18), 0.74, NOW - MINUTE
            ),
            MemberRow(3, "C. Neu", "analyst", 0, 0, None, some(0, 0), some(0, 0), some(0, 0), None, 0),
        ),
        seconds=(
            SecondRow("four_eyes", 2, 150_000, _aged(1, 1, 0, 0), NOW - 5 * HOUR),
            SecondRow("blind", 6, 9_900, _aged(3, 2, 1, 0), NOW - 2 * DAY),
            SecondRow("dispute", 1, 9_900, _aged(0, 0, 0, 1), NOW - 4 * DAY),
        ),
        lapsed=3,
        lapses_after=3 * DAY,
        second_query=QueueQuery(shelf="second"),
        disputes=(Dispute(12, "A. Novak", "fraud", "B. Lang", "genuine", NOW - HOUR, 9_900),),
        not_worth=some(9, 41),
        not_worth_by=(Waste("rule:many_shops", 9, 0.22),),
    )


def release(number: int) -> ReleaseView:
    state = "live" if number == 118 else "retired"
    at = NOW - (119 - number) * DAY
    return ReleaseView(f"r{number}", "blend@da1d90b7", "fbc32000", "0a11ffee", state, "A. Novak", at)


def model() -> ModelView:
    edges = [0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.08, 0.15, 0.3, 0.5, 0.65, 0.8, 0.9, 0.95, 0.99, 1.0]
    bands = list(itertools.pairwise(edges))
    return ModelView(
        base="EUR",
        asked_at=NOW,
        release=release(118),
        seen=(Deciding("blend@da1d90b7", "fbc32000", "0a11ffee", 1_800_000, NOW - SECOND),),
        refresh=RefreshView(
            True, "r118", NOW - 32 * SECOND, "live", 212, 2, 41 * SECOND,
            (RefreshRow(NOW - 32 * SECOND, "refreshed", "r118", "log-loss .0138 to .0133", 212),
             RefreshRow(NOW - 92 * SECOND, "refused", "r117", "log-loss .0138 to .0151", 140)),
        ),
        guard="passed",
        calibration=tuple(Bin(low, high, (low + high) / 2, (low + high) / 2.2, 812) for low, high in bands),
        by_model=(
            ModelBin("blend@da1d90b7", 0.31, some(96, 300)), ModelBin("blend@e07a55aa", 0.28, some(4, 20)),
        ),
        scores=tuple(ScoreBar(*band, 2 ** (20 - place), 3 * 2 ** (21 - place)) for place, band in enumerate(bands)),
        drift=(DriftRow("device_cards_1d", 0.31, True), DriftRow("merchant_sum_7d", 0.14, False)),
        drift_of=182,
        stages=(StageRow("read", 0.6, 2.1, 1_800_000), StageRow("features", 0.41, 1.1, 1_800_000)),
        labels=LabelsView(some(61, 100), 5 * DAY, some(44, 100), {"chargeback": 900, "silence": 41_000}),
        history=(release(118), release(117)),
    )  # fmt: skip


def young_model() -> ModelView:
    nothing = some(0, 0)
    return ModelView(
        "EUR", NOW, None, (), RefreshView(False, "", 0, "", 0, 0, None, ()), "", (), (), (), (), 0, (),
        LabelsView(nothing, None, nothing, {}), (),
    )  # fmt: skip


TEXT = 'rule odd_hour "{amount} at hour {hour}":\n    when hour < 5 and card_amount_vs_meidan > 4\n    then challenge\n'


def rules() -> RulesView:
    used = RuleUse("odd_hour", "{amount} at hour {hour}", 61, some(14, 41), 55, 12, some(5, 61), "first_at_night", 40)
    versions = (
        RuleVersion("aa11bb22cc", "A. Novak", NOW - HOUR, "only at night", "fbc3200011", live=False, faulty=False),
        RuleVersion("fbc3200011", "B. Lang", NOW - DAY, "", "", live=True, faulty=False),
    )
    return RulesView(
        version="aa11bb22cc",
        live="fbc3200011",
        text=TEXT.replace("meidan", "median"),
        lists={"stolen.txt": "C000001\nC000002\n"},
        author="A. Novak",
        at=NOW - HOUR,
        note="only at night",
        parent="fbc3200011",
        checked=Checked("aa11bb22cc", ("odd_hour",), ("stolen",), ()),
        uses=(used,),
        list_uses=(ListUse("stolen", "block, 2 entries"),),
        versions=versions,
        pending=(PendingOrder("4", "aa11bb22cc", "B. Lang", 2, NOW - MINUTE, mine=False, note="noise is gone"),),
        needs_second=True,
        can_activate=True,
        release=release(118),
    )


def faulty_rules() -> RulesView:
    line = TEXT.splitlines()[1]
    told = "unknown name 'card_amount_vs_meidan'. Did you mean card_amount_vs_median?"
    fault = FaultRow(2, line.index("card_") + 1, len("card_amount_vs_meidan"), told, line)
    checked = Checked("aa11bb22cc", (), (), (fault,))
    return msgspec.structs.replace(rules(), text=TEXT, checked=checked, pending=())


def first_rules() -> RulesView:
    """Return rules of a console that has never heard of any that are live."""
    return msgspec.structs.replace(rules(), live="", parent="", pending=(), versions=rules().versions[:1])


def difference() -> RulesDiff:
    lines = (DiffLine(" ", 1, 1, "rule odd_hour"), DiffLine("-", 2, 0, "    when hour < 6"), DiffLine("+", 0, 2, NASTY))
    return RulesDiff("fbc3200011", "aa11bb22cc", lines)


def users() -> UsersView:
    return UsersView(
        (UserRow(1, "A. Novak", "a@b.example", "lead", "active", NOW), UserRow(2, NASTY, NASTY, "viewer", "off", 0)),
        (InviteRow("analyst", NOW + HOUR),),
    )
