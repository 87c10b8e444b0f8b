"""Views of what analysts see, filled by hand: what pages are rendered of where no database is asked."""

import msgspec

from fraud.core.records import DAY, HOUR, MINUTE, SECOND
from fraud.review.case_views import (
    AlertView,
    Blind,
    CaseView,
    Change,
    Compared,
    Dossier,
    GraphEdge,
    GraphNode,
    GraphView,
    Made,
    NoteView,
    Notice,
    RuleRow,
    RulesTraced,
    ShopView,
    Step,
    TrailView,
    VelocityRow,
    VelocityView,
    WhyView,
)
from fraud.review.views import (
    Badge,
    BulkPreview,
    Colleague,
    EntityView,
    Hit,
    LeftOut,
    Named,
    Owner,
    PastVerdict,
    PaymentRow,
    QueueFilter,
    QueuePage,
    QueueQuery,
    QueueRow,
    Reasoned,
    SavedView,
    SearchView,
    VerdictWord,
)

NOW = 1_796_049_202 * SECOND
"""30 November 2026, 14:33:22 UTC."""
NASTY = "<script>alert(1)</script>'\"&{{ 7 * 7 }}"
"""What every field of text is filled with once: it may come out as text alone."""


# --- queue -----------------------------------------------------------------------------------------------------------


def card(number: int = 121) -> Named:
    return Named("card", f"C···{number:03}", f"~{number}")


def shop(number: int = 234) -> Named:
    return Named("merchant", f"M{number:06}", f"M{number:06}")


WHY = (
    Reasoned("amount", "Amount 447.30 is 8.4 times this card's median of 53.26", 1.435, 0.04),
    Reasoned("card-spending", "458.14 spent by this card in 1 day; usual is 53.78 a day", 0.61, 0.31),
    Reasoned("rule:odd_hour", "447.30 at hour 3, the first time by night", 0.0, 0.02, rule=True),
)


SAID = (
    "Amount 475.80 is 9.4 times this card's median of 50.88",
    "first payment here, at night, 6.47 times what this card usually pays",
    "458.14 spent by this card in 1 day; usual is 53.78 a day",
    "3 known frauds at this merchant in the last 7 days (of 13 labelled)",
    "a fraud with this card at this merchant became known, paid 9.6 days ago",
    "5 payments of this card in 10 minutes; usual is 1",
    "This device was used by 7 cards in 1 day",
)


def _why(place: int) -> tuple[Reasoned, ...]:
    """Return reasons of one row: as many as three, other ones than the row before."""
    if place == 0:
        return WHY
    texts = [SAID[(place + step) % len(SAID)] for step in range(1 + place % 3)]
    return tuple(Reasoned(f"group-{step}", text, 1.2 - 0.3 * step) for step, text in enumerate(texts))


def queue_rows() -> tuple[QueueRow, ...]:
    stakes = [27_859, 20_098, 17_668, 16_073, 5_393, 3_068, 2_947, 2_639, 2_338, 1_774, 1_562, 1_514, 1_374]
    return tuple(_row(place, stake) for place, stake in enumerate(stakes))


def _row(place: int, stake: int) -> QueueRow:
    score = (0.60, 0.41, 0.48, 0.41, 0.23, 0.49, 0.23, 0.2, 0.2, 0.2, 0.2, 0.2, 0.061)[place]
    lifted = place == 7
    return QueueRow(
        alert=100 + place,
        case=7 + place,
        uid=f"a{place}",
        kind="held",
        status="locked" if place == 1 else "open",
        took="review",
        score=score,
        model_score=0.031 if lifted else score,
        rule_floor=lifted,
        at_stake=stake,
        expected_loss=stake // 2,
        amount=48_000 if place == 0 else stake * 2,
        currency="USD" if place == 0 else "EUR",
        base_amount=stake * 2,
        card=card(100 + 37 * place % 800),
        merchant=shop(200 + 91 * place % 700),
        device=None,
        channel="ecom",
        why=_why(place),
        alerts_on_card=2 if place in (1, 3) else 1,
        seen_before=place % 4,
        arrived_at=NOW - (2 + place) * MINUTE,
        happened_at=NOW - (3 + place) * MINUTE,
        due_at=NOW + (12 + 13 * place) * MINUTE - (690 * SECOND if place == 0 else 0),
        model="blend@da1d90b7c2aa",
        owner=Owner(2, "B. Lang", NOW + 5 * MINUTE, mine=False) if place == 1 else None,
        tags=("travel",) if place == 4 else (),
    )


def queue_page() -> QueuePage:
    return QueuePage(
        query=QueueQuery(),
        base="EUR",
        badges=(
            Badge("kind", "held", 22, 191_120, NOW - HOUR, QueueQuery()),
            Badge("kind", "declined", 91, 3_469, NOW - HOUR, QueueQuery(kind="declined")),
            Badge("kind", "challenged", 7, 900, None, QueueQuery(kind="challenged")),
            Badge("kind", "sample", 12, 0, None, QueueQuery(kind="sample")),
            Badge("mine", None, 1, 0, None, QueueQuery(shelf="mine")),
            Badge("second", None, 6, 0, None, QueueQuery(shelf="second")),
        ),
        saved=(SavedView(3, "ecom over 50", QueueQuery(), (), team=True, mine=False, default=False),),
        rows=queue_rows(),
        total=22,
        at_stake=191_120,
        after="k2",
        before="",
        newest=4_711,
        asked_at=NOW,
        colleagues=(Colleague(1, "A. Novak", "lead"), Colleague(2, "B. Lang", "analyst")),
        last_decision_at=NOW - SECOND,
    )


def kept() -> QueuePage:
    """Return a queue of a view with columns of its own."""
    columns = ("state", "stake", "amount", "card", "why", "channel", "left")
    view = SavedView(3, "ecom over 50", QueueQuery(), columns, team=True, mine=False, default=True)
    return msgspec.structs.replace(queue_page(), saved=(view,), query=QueueQuery(view=3))


def filtered() -> QueuePage:
    narrowed = QueueFilter(least=5_000, channel="ecom", older_than=30 * MINUTE, assignee=2)
    query = QueueQuery(kind="held", order="due", filter=narrowed)
    return msgspec.structs.replace(queue_page(), query=query, total=None, at_stake=None, rows=(), before="k0", after="")


# --- case ------------------------------------------------------------------------------------------------------------


def alert_view(place: int = 0) -> AlertView:
    return AlertView(queue_rows()[place], f"tx-{place}", 0, 5732, "ACME*ONLINE 0042", "payment", open=True)


def why() -> WhyView:
    return WhyView(
        stored_at=NOW - 2 * MINUTE,
        made=Made("blend@da1d90b7c2aa", "s1", "0a11ffee", "fbc3200011", "r118", "full", "model", ("brief-reasons",)),
        reasons=WHY,
        compared=Compared(44_730, 5_326, 6_110, 20_000, 5_900, 0.992, "ecom, electronics"),
        changes=(
            Change("amount", "amount", 0.04, "approve", rule=False),
            Change("rule:odd_hour", "odd_hour", 0.02, "approve", rule=True),
        ),
        passes_below=0.058,
        notice=Notice(model="blend@e07a55aa11", policy="77aa0199", score=0.2, model_score=0.031, took="approve"),
        message_sha256="9f3c" * 16,
    )


def graph() -> GraphView:
    nodes = [GraphNode(0, "card", "C···121", "~121", 0, NOW - 29 * DAY, NOW, 50, 0.6, known_fraud=False)]
    edges: list[GraphEdge] = []
    for place in range(9):
        last = NOW - place * DAY
        nodes.append(_node(len(nodes), "merchant", f"M{place * 91:06}", last, fraud=place in (0, 4)))
        merchant = len(nodes) - 1
        effect = None if place == 8 else 0.1 * place
        edges.append(GraphEdge(0, merchant, last - 3 * DAY, last, 2, 9_000, effect, this=place == 0))
        for other in range(5):
            nodes.append(_node(len(nodes), "card", f"C···{other + 10 * place:03}", last, place == 4 and other < 2))
            edges.append(GraphEdge(merchant, len(nodes) - 1, last - DAY, last, 1, 900, 0.02 * other))
    nodes.append(_node(len(nodes), "device", "D0042", NOW, fraud=False))
    edges.append(GraphEdge(0, len(nodes) - 1, NOW - 20 * DAY, NOW, 12, 40_000))
    left_out = {"merchant": 14, "device": 3}
    return GraphView("alert", 2, NOW - 30 * DAY, NOW, tuple(nodes), tuple(edges), left_out)


def _node(number: int, kind: str, name: str, last: int, fraud: bool) -> GraphNode:
    ring = 1 if kind in ("merchant", "device") else 2
    key = f"~{number}" if kind == "card" else name
    found = {"id": number, "kind": kind, "name": name, "key": key, "ring": ring, "first_at": last - 3 * DAY}
    found |= {"last_at": last, "payments": 2, "score": 0.35 if fraud else 0.02, "known_fraud": fraud}
    return msgspec.convert(found | {"fraud_at": last if fraud else 0}, GraphNode)


def payments() -> tuple[PaymentRow, ...]:
    known = [None, None, "genuine", "fraud", None, "genuine", None, None]
    return tuple(
        PaymentRow(
            tx_id=f"tx-{place}",
            happened_at=NOW - place * DAY,
            amount=44_730 if place == 0 else 1_728 + 311 * place,
            card=card(),
            merchant=shop(234 if place == 0 else 100 + place),
            device=Named("device", "D0042", "D0042") if place % 2 else None,
            took="review" if place in (0, 3) else "approve",
            score=0.6 if place == 0 else 0.01,
            verdict=verdict,
            source="chargeback" if verdict else None,
            case=7 if place == 0 else 3 if place == 3 else None,
            this=place == 0,
            here=place == 5,
        )
        for place, verdict in enumerate(known)
    )


def velocity() -> VelocityView:
    rows = (
        VelocityRow("card", "count", (1, 2, 5, 13, 50)),
        VelocityRow("card", "sum", (447.3, 447.3, 458.1, 859, 4_038)),
        VelocityRow("card", "max", (447.3, 447.3, 447.3, 447.3, 447.3)),
        VelocityRow("card", "distinct", (1, 1, 3, 13, 41)),
        VelocityRow("card", "frauds", (None, None, 1, 8, 10)),
        VelocityRow("card", "declined", (0, 0, 1, 1, 1), ours=True),
        VelocityRow("merchant", "count", (1, 3, 61, 200, 900)),
        VelocityRow("merchant", "distinct", (1, 3, 60, 150, 400)),
    )
    return VelocityView(("10m", "1h", "1d", "7d", "30d"), rows, True, 212, NOW - 200 * DAY, NOW - 18 * DAY)


def case_view() -> CaseView:
    return CaseView(
        case=7,
        state="open",
        base="EUR",
        card=card(),
        opened_at=NOW - 2 * MINUTE,
        due_at=NOW + 12 * MINUTE,
        at_stake=27_859,
        owner=Owner(1, "A. Novak", NOW + 9 * MINUTE, mine=True),
        waiting=22,
        alert=alert_view(),
        alerts=(alert_view(), alert_view(3)),
        why=why(),
        graph=graph(),
        velocity=velocity(),
        payments=payments(),
        payments_after="k1",
        shop=ShopView(shop(), NOW - 15 * DAY, 5732, "ACME*ONLINE 0042", 66, 12.4, 61, 2),
        rules=RulesTraced(
            "fbc3200011",
            known=True,
            rows=(
                RuleRow("odd_hour", True, "447.30 at hour 3"),
                RuleRow("burst", False, "many in ten minutes", "card_count_10m >= 5", "1"),
                RuleRow("far_above_median", False, "", "card_amount_vs_median >= 10", "8.4"),
            ),
        ),
        trails=(),
        notes=(NoteView(1, "B. Lang", NOW - DAY, "called, no answer"),),
        tags=("travel",),
        verdicts=(),
        card_verdicts=(overturned("genuine"),),
        then={"fraud": "block_card", "genuine": "release", "unsure": "none", "escalated": "none"},
        actions=("release", "decline", "step_up", "block_card", "none"),
        second=None,
        needs_second=False,
        can=("decide", "lock", "skip", "escalate", "note", "tag", "reveal", "assign", "print"),
        colleagues=(Colleague(2, "B. Lang", "analyst"),),
        asked_at=NOW,
        next=8,
    )


def second_look() -> CaseView:
    blind = Blind("blind", blind=True)
    return msgspec.structs.replace(case_view(), state="pending_second", second=blind, alerts=(alert_view(),))


def decided() -> CaseView:
    past = PastVerdict(9, 7, 100, "tx-0", "fraud", "block_card", "B. Lang", NOW - 4 * SECOND)
    trail = TrailView("tx-0", 0, "fraud", NOW - 4 * SECOND, NOW + 6 * SECOND, 0, 0, 0, 0)
    decided_at, send_at, sent_at, known_at, applied_at, live_at = (
        NOW - back * SECOND for back in (60, 50, 49, 45, 44, 20)
    )
    learned = TrailView("tx-1", 0, "fraud", decided_at, send_at, sent_at, known_at, applied_at, live_at, "r118")
    done = msgspec.structs.replace(case_view(), state="decided", owner=None, can=("reopen", "note", "print"))
    return msgspec.structs.replace(done, verdicts=(past,), trails=(trail, learned))


def overturned(verdict: VerdictWord) -> PastVerdict:
    return PastVerdict(1, 3, 90, "tx-3", verdict, "release", "B. Lang", NOW - 3 * DAY, contradicted=True)


def bare() -> CaseView:
    """Return a case of which next to nothing is known, with text of an attacker wherever text stands."""
    view = case_view()
    named = Named("card", NASTY, NASTY)
    here = Named("merchant", NASTY, NASTY)
    plain = msgspec.structs.replace(view.alert.row, card=named, merchant=here, why=(), currency="EUR")
    row = msgspec.structs.replace(plain, tags=(NASTY,), due_at=0)
    alert = msgspec.structs.replace(view.alert, row=row, text=NASTY, tx_id=NASTY)
    found = msgspec.structs.replace(view.why, reasons=(), compared=None, changes=(), passes_below=None, notice=None)
    alone = msgspec.structs.replace(view.graph.nodes[0], name=NASTY)
    empty = msgspec.structs.replace(view.graph, nodes=(alone,), edges=())
    return msgspec.structs.replace(
        view,
        card=named,
        alert=alert,
        alerts=(alert,),
        why=found,
        graph=empty,
        velocity=msgspec.structs.replace(view.velocity, known=False, rows=()),
        payments=(),
        payments_after="",
        rules=RulesTraced(NASTY, known=False, rows=()),
        notes=(NoteView(1, NASTY, NOW, NASTY),),
        tags=(NASTY,),
        card_verdicts=(),
        owner=Owner(2, NASTY, NOW + MINUTE, mine=False),
        can=("reveal", "note"),
        due_at=0,
    )


def dossier() -> Dossier:
    return Dossier(decided(), steps(), NOW, "A. Novak", "ab" * 32)


def steps() -> tuple[Step, ...]:
    return (
        Step(2, NOW - 4 * SECOND, "B. Lang", "decide", "case 7", "", '{"verdict":"fraud"}', "9f" * 32),
        Step(1, NOW - MINUTE, "B. Lang", "lock", "case 7", "", "", "3c" * 32),
    )


# --- the other pages of analysts -------------------------------------------------------------------------------------


def bulk() -> BulkPreview:
    left_out = (LeftOut(103, "B. Lang works on it"),)
    return BulkPreview((100, 101, 102), 3, 2, 1, 82_530, 65_625, "EUR", 200, "fraud", "block_card", 1, left_out)


def search() -> SearchView:
    hits = (
        Hit("card", "C···121", "/entities/card/~121", NOW - HOUR),
        Hit("payment", "tx-0", "/cases/7?alert=100", NOW - HOUR, "approve", 44_730),
        Hit("case", "case 7", "/cases/7", NOW - HOUR, "pending_second", 27_859),
        Hit("note", NASTY, "/cases/7", NOW - DAY),
    )
    return SearchView(NASTY, "EUR", hits, more=True)


def entity() -> EntityView:
    rows, past = queue_rows()[:2], (overturned("fraud"),)
    return EntityView(card(), "EUR", NOW - 200 * DAY, NOW, 4, 1, None, rows, payments(), past, "k9", blocked=True)
