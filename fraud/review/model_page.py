"""The model's page: what decides now, what was learned since, and whether its probabilities come true."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select
from sqlalchemy import case as when

from fraud.core.records import DAY, HOUR, MINUTE
from fraud.core.releases import Release
from fraud.review import counters
from fraud.review.agreement import share_of
from fraud.review.counters import BIN_EDGES, STAGE_EDGES, known, said, said_sum
from fraud.review.page_views import (
    Bin,
    Deciding,
    DriftRow,
    LabelsView,
    ModelBin,
    ModelView,
    RefreshRow,
    RefreshView,
    ReleaseView,
    ScoreBar,
    StageRow,
)
from fraud.review.people import Person
from fraud.review.rows import UNKNOWN, people_of
from fraud.review.tables import alert, label_trace, learner_event, live_refresh, payment, refresh, release
from fraud.review.tools import STREAM, Tools, marked
from fraud.review.truths import OF_ALERT, is_fraud
from fraud.review.words import ReleaseState, Teller

DAYS = 30
MOST_ALERTS = 10_000
"""Alerts that what came of each model's is reckoned from."""
RECENT, EVENTS, HISTORY = 1_000, 20, 30
EDGES = (0.0, *BIN_EDGES, 1.0)
MILLION = 1_000_000


def model_of(tools: Tools, who: Person, now: int) -> ModelView:
    """Return the page; every role may see it."""
    del who
    with tools.database.read() as connection:
        today = marked(connection, STREAM) // DAY
        sums = counters.read(connection, "calibration/", today - DAYS + 1, today + 1)
        history = releases_of(tools, connection)
        return ModelView(
            base=tools.base,
            asked_at=now,
            release=live_release(tools, history),
            seen=_deciding(connection),
            refresh=_refresh(connection),
            guard=_guard(connection),
            calibration=calibration(sums),
            by_model=_by_model(connection),
            scores=_scores(sums, today),
            drift=_drift(connection),
            drift_of=len(tools.library.vocabulary().terms),
            stages=_stages(connection, now),
            labels=_labels(connection, sums),
            history=history,
        )


def releases_of(tools: Tools, connection: Connection) -> tuple[ReleaseView, ...]:
    """Return the releases of the site, whoever has put them in force, the newest first.

    While nobody tells, they are those that this console has ordered; what waits for somebody is none.
    """
    ordered = release.c.state.in_([int(ReleaseState.LIVE), int(ReleaseState.RETIRED)])
    rows = connection.execute(select(release).where(ordered).order_by(release.c.at.desc()).limit(HISTORY)).all()
    people = people_of(connection, [row.by for row in rows])
    here = {
        row.id: ReleaseView(row.id, row.model, row.rules, row.policy, ReleaseState(row.state).word,
                            people.get(row.by, UNKNOWN), row.at, row.share)
        for row in rows
    }  # fmt: skip
    newest: dict[str, Release] = {}
    for move in reversed(tools.releases.moves() if tools.releases is not None else ()):
        newest.setdefault(move.id, move)
    told = [_moved(move, here.get(move.id), live=not place) for place, move in enumerate(newest.values())]
    return tuple(told[:HISTORY]) or tuple(here.values())


def _moved(move: Release, here: ReleaseView | None, *, live: bool) -> ReleaseView:
    """Return a release as the site tells of it; what its policy is called is known where it was ordered here."""
    state = ReleaseState.LIVE if live else ReleaseState.RETIRED
    policy = move.policy if here is None else here.policy
    return ReleaseView(move.id, move.model, move.rules, policy, state.word, move.by or UNKNOWN, move.at)


def live_release(tools: Tools, history: Sequence[ReleaseView]) -> ReleaseView | None:
    """Return the release that decides: as the site says, with who ordered it where that was here."""
    used = tools.library.in_use()
    if not used.model:
        return next((each for each in history if each.state == ReleaseState.LIVE.word), None)
    ordered = next((each for each in history if each.id == used.release), None)
    by, at = ("", 0) if ordered is None else (ordered.by, ordered.at)
    return ReleaseView(used.release, used.model, used.rules, used.policy, ReleaseState.LIVE.word, by, at)


def calibration(sums: Mapping[tuple[str, int], int]) -> tuple[Bin, ...]:
    """Return what was said and what came, by bin of probability, of payments whose verdict is known."""
    by_name: Counter[str] = Counter()
    for (name, _), value in sums.items():
        by_name[name] += value
    found = []
    for number in range(len(EDGES) - 1):
        frauds, genuine = by_name[known(number, "fraud")], by_name[known(number, "genuine")]
        payments = by_name[said(number)]
        if frauds + genuine and payments:
            mean = by_name[said_sum(number)] / MILLION / payments
            came = frauds / (frauds + genuine)
            found.append(Bin(EDGES[number], EDGES[number + 1], mean, came, frauds + genuine))
    return tuple(found)


def _by_model(connection: Connection) -> tuple[ModelBin, ...]:
    """Return what models said of alerts, and what came; labels count, else what the desk has said."""
    known = is_fraud()
    newest = alert.c.id > select(func.max(alert.c.id)).scalar_subquery() - MOST_ALERTS
    asked = (
        select(alert.c.model, func.avg(alert.c.model_score), func.sum(when((known, 1), else_=0)), func.count())
        .outerjoin(payment, OF_ALERT)
        .where(newest, alert.c.model_score.is_not(None), known.is_not(None))
        .group_by(alert.c.model)
    )
    rows = sorted(connection.execute(asked), key=lambda row: (-row[3], row[0]))
    return tuple(ModelBin(model, float(said_), share_of(int(frauds), count)) for model, said_, frauds, count in rows)


def stage_rows(sums: Mapping[tuple[str, int], int]) -> tuple[StageRow, ...]:
    """Return median and 99th percentile of each stage, ms: the upper end of the bin in which they lie."""
    bins: dict[str, Counter[int]] = {}
    for (name, _), value in sums.items():
        _, stage, number = name.split("/")
        bins.setdefault(stage, Counter())[int(number)] += value
    return tuple(
        StageRow(stage, _quantile(counts, 0.5), _quantile(counts, 0.99), sum(counts.values()))
        for stage, counts in sorted(bins.items())
    )


def _quantile(counts: Counter[int], share: float) -> float:
    left = share * sum(counts.values())
    for number in sorted(counts):
        left -= counts[number]
        if left <= 0:
            break
    return STAGE_EDGES[min(number, len(STAGE_EDGES) - 1)] / 1_000


def _stages(connection: Connection, now: int) -> tuple[StageRow, ...]:
    return stage_rows(counters.read(connection, "stage/", (now - HOUR) // MINUTE, now // MINUTE + 1))


def _scores(sums: Mapping[tuple[str, int], int], today: int) -> tuple[ScoreBar, ...]:
    return tuple(
        ScoreBar(
            low=EDGES[number],
            high=EDGES[number + 1],
            today=sums.get((said(number), today), 0),
            days=sum(value for (name, _), value in sums.items() if name == said(number)),
        )
        for number in range(len(EDGES) - 1)
    )


def _deciding(connection: Connection) -> tuple[Deciding, ...]:
    """Return what the newest alerts say that they were decided by, the most frequent first."""
    newest = select(alert.c.model, alert.c.rules, alert.c.policy, alert.c.arrived_at)
    rows = connection.execute(newest.order_by(alert.c.id.desc()).limit(RECENT)).all()
    counts = Counter((row.model, row.rules, row.policy) for row in rows)
    last = {(row.model, row.rules, row.policy): row.arrived_at for row in reversed(rows)}
    return tuple(Deciding(*versions, count=count, last_at=last[versions]) for versions, count in counts.most_common())


def _refresh(connection: Connection) -> RefreshView:
    live = connection.execute(select(live_refresh).order_by(live_refresh.c.at.desc()).limit(1)).first()
    newest = _newest_refresh(connection)
    events = connection.execute(select(learner_event).order_by(learner_event.c.at.desc()).limit(EVENTS)).all()
    heard = max([row.at for row in (*events, newest, live) if row is not None], default=0)
    refused = (learner_event.c.kind == "refused") & (learner_event.c.at > heard - DAY)
    labels = {} if newest is None else newest.content.get("labels", {})
    return RefreshView(
        present=heard > 0,
        version="" if live is None else live.version,
        live_since=0 if live is None else live.at,
        state="" if live is None else "pinned" if live.pinned else "learning",
        labels=sum(labels.values()),
        refused_today=connection.execute(select(func.count()).where(refused)).scalar_one(),
        label_to_live=_label_to_live(connection),
        events=tuple(_event(row) for row in events),
    )


def _event(row: Row[Any]) -> RefreshRow:
    details = row.content.get("details", {})
    labels = details.get("labels")
    return RefreshRow(row.at, row.kind, str(details.get("version", "")), str(row.content.get("text", "")),
                      labels if isinstance(labels, int) else None)  # fmt: skip


def _guard(connection: Connection) -> str:
    """Return what the guard says of the newest parameters: `passed`, `held back`, or nothing without any."""
    newest = _newest_refresh(connection)
    if newest is None:
        return ""
    return "passed" if newest.promoted else "held back"


def _newest_refresh(connection: Connection) -> Row[Any] | None:
    return connection.execute(select(refresh).order_by(refresh.c.at.desc()).limit(1)).first()


def _label_to_live(connection: Connection) -> int | None:
    """Return how long the newest verdicts of the desk took from sending to being live, the median, ns."""
    mine = (label_trace.c.source == int(Teller.ANALYST)) & label_trace.c.live_at.is_not(None)
    asked = select(label_trace.c.live_at - label_trace.c.sent_at).where(mine, label_trace.c.sent_at.is_not(None))
    spans = [span for (span,) in connection.execute(asked.order_by(label_trace.c.happened_at.desc()).limit(RECENT))]
    return round(median(spans)) if spans else None


def _drift(connection: Connection) -> tuple[DriftRow, ...]:
    """Return what drifts, by the learner's events: what began and has not ended since."""
    asked = select(learner_event.c.content).where(learner_event.c.kind == "drift")
    rows = connection.execute(asked.order_by(learner_event.c.at.desc()).limit(RECENT)).all()
    drifts: dict[str, float] = {}
    for (content,) in reversed(rows):
        details = content.get("details", {})
        drifts |= {str(name): float(psi) for name, psi in details.get("psi", {}).items()}
        for name in details.get("ended", ()):
            drifts.pop(name, None)
    worst = sorted(drifts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(DriftRow(name, psi, alarmed=True) for name, psi in worst)


def _labels(connection: Connection, sums: Mapping[tuple[str, int], int]) -> LabelsView:
    told = sum(value for (name, _), value in sums.items() if name.endswith(("/fraud", "/genuine")))
    paid = sum(value for (name, _), value in sums.items() if name.count("/") == 1)
    asked = (
        select(label_trace.c.source, label_trace.c.happened_at - payment.c.happened_at)
        .outerjoin(payment, and_(payment.c.tx_id == label_trace.c.tx_id))
        .where(label_trace.c.known_at.is_not(None))
        .order_by(label_trace.c.happened_at.desc())
        .limit(RECENT)
    )
    rows = connection.execute(asked).all()
    sources = Counter(Teller(source).word for source, _ in rows)
    delays = [delay for source, delay in rows if delay is not None and source != Teller.SILENCE]
    return LabelsView(
        known=share_of(min(told, paid), paid),
        delay=round(median(delays)) if delays else None,
        silence=share_of(sources[Teller.SILENCE.word], len(rows)),
        by_source=dict(sources),
    )
