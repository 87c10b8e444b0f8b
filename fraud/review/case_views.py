"""What the case page shows, and the dossier made of it. Values are raw, as in `views`."""

from typing import Literal

import msgspec

from fraud.review.views import (
    ActionWord,
    Colleague,
    EntityKind,
    Named,
    Owner,
    PastVerdict,
    PaymentRow,
    QueueQuery,
    QueueRow,
    Reasoned,
    VerdictWord,
)


class Made(msgspec.Struct, frozen=True):
    """What a decision was made by, as it says itself."""

    model: str
    spec: str
    policy: str
    rules: str
    parameters: str
    level: str
    explainer: str
    marks: tuple[str, ...]


class Notice(msgspec.Struct, frozen=True):
    """Where today differs from when it was decided: what each part is now, empty where it is the same."""

    model: str = ""
    rules: str = ""
    policy: str = ""
    parameters: str = ""
    release: str = ""
    score: float | None = None
    """The probability that model, parameters and rules of today give; None where it cannot be told."""
    model_score: float | None = None
    took: str = ""
    """What today's policy would do with it."""
    why_not: str = ""
    """Why it cannot be told, completes "cannot be told: ..."."""


class Compared(msgspec.Struct, frozen=True):
    """The amount beside what is usual, minor units of the base currency; None where nothing is known.

    `share_below` is the share of peers (approved payments of this channel and group of merchants) with a lower amount,
    `peers` how many they are.
    """

    amount: int
    card_usual: int | None
    merchant_usual: int | None
    peers: int = 0
    peers_usual: int | None = None
    share_below: float | None = None
    group: str = ""


class Change(msgspec.Struct, frozen=True):
    """What would change it: had this reason been usual, or this rule silent, the score and what is done with it."""

    code: str
    label: str
    score: float
    took: str
    rule: bool


class WhyView(msgspec.Struct, frozen=True):
    """Why, as stored.

    `passes_below`: under this probability the payment is approved, None where the policy of that version is not here.
    """

    stored_at: int
    made: Made
    reasons: tuple[Reasoned, ...]
    compared: Compared | None
    changes: tuple[Change, ...]
    passes_below: float | None
    notice: Notice | None
    message_sha256: str


class GraphNode(msgspec.Struct, frozen=True):
    """A node: ring 0 the card, 1 its merchants and devices, 2 other cards. `score` is its highest within the time.

    `id` is its place among the nodes.
    """

    id: int
    kind: EntityKind
    name: str
    key: str
    ring: int
    first_at: int
    last_at: int
    payments: int
    score: float
    known_fraud: bool
    fraud_at: int = 0


class GraphEdge(msgspec.Struct, frozen=True):
    """Payments between two nodes, by node number.

    `effect` in log-odds, None where none is stored; `this`: the payment that the case is about.
    """

    source: int
    target: int
    first_at: int
    last_at: int
    payments: int
    amount: int
    effect: float | None = None
    this: bool = False


class GraphView(msgspec.Struct, frozen=True):
    """The neighbourhood of a card: frozen at the alert, or as of now. `until` is the newest time shown.

    `left_out` counts what has no place, by kind.
    """

    at: Literal["alert", "now"]
    hops: int
    since: int
    until: int
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    left_out: dict[str, int]


class VelocityRow(msgspec.Struct, frozen=True):
    """One measure of an entity before this payment, by window.

    Measures: `count`, `sum`, `max` and `mean` (major units of the base currency), `distinct`, `frauds`, `declined`. NaN
    in the vector is None here: nothing known.
    """

    entity: EntityKind
    measure: str
    values: tuple[float | None, ...]
    ours: bool = False
    """Counted by this console from `since` on, not by the model."""


class VelocityView(msgspec.Struct, frozen=True):
    """The velocity table: windows in order, rows as stored with the decision; `since` is when this console began."""

    windows: tuple[str, ...]
    rows: tuple[VelocityRow, ...]
    known: bool
    """False where the feature spec of that version is not known here: no rows then."""
    payments: int
    first_at: int
    since: int


class RuleRow(msgspec.Struct, frozen=True):
    """One rule, as of then: spoke, or the first clause that failed, and what stood there."""

    name: str
    spoke: bool
    text: str
    clause: str = ""
    value: str = ""


class RulesTraced(msgspec.Struct, frozen=True):
    """All rules of the version that decided; not `known` where its text is not kept here."""

    version: str
    known: bool
    rows: tuple[RuleRow, ...]


class TrailView(msgspec.Struct, frozen=True):
    """What became of a label: times are the wall clock's, 0 for not yet. `why_not` is why it was not learned."""

    tx_id: str
    version: int
    verdict: str
    decided_at: int
    send_at: int
    sent_at: int
    known_at: int
    applied_at: int
    live_at: int
    live_in: str = ""
    why_not: str = ""


class NoteView(msgspec.Struct, frozen=True):
    """A note on a case."""

    id: int
    by: str
    at: int
    text: str


class ShopView(msgspec.Struct, frozen=True):
    """The merchant of the payment: payments and cards of the day before it, frauds known of the seven days before it.

    `payments_usual` is a day's mean over 30 days. None where the vector of that version cannot be read here.
    """

    merchant: Named
    first_at: int
    mcc: int
    text: str
    payments_today: float | None
    payments_usual: float | None
    cards_today: float | None
    frauds_7d: float | None


class AlertView(msgspec.Struct, frozen=True):
    """One alert of the case with what it was about; the row is as in the queue."""

    row: QueueRow
    tx_id: str
    version: int
    mcc: int
    text: str
    payment_kind: str
    open: bool


class Blind(msgspec.Struct, frozen=True):
    """A second look: `blind` hides the first verdict, its notes and who gave it, until one's own is given."""

    kind: Literal["four_eyes", "blind", "dispute", "escalated"]
    blind: bool
    first: tuple[PastVerdict, ...] = ()


class CaseView(msgspec.Struct, frozen=True):
    """A case on one screen. `alert` is the one in focus, the dearest unless another was asked for."""

    case: int
    state: str
    base: str
    card: Named
    opened_at: int
    due_at: int
    at_stake: int
    owner: Owner | None
    waiting: int
    alert: AlertView
    alerts: tuple[AlertView, ...]
    why: WhyView
    graph: GraphView
    velocity: VelocityView
    payments: tuple[PaymentRow, ...]
    payments_after: str
    shop: ShopView
    rules: RulesTraced
    trails: tuple[TrailView, ...]
    notes: tuple[NoteView, ...]
    tags: tuple[str, ...]
    verdicts: tuple[PastVerdict, ...]
    card_verdicts: tuple[PastVerdict, ...]
    """Verdicts on this card in other cases."""
    then: dict[VerdictWord, ActionWord]
    """The action shown with each verdict before one chooses another."""
    actions: tuple[ActionWord, ...]
    second: Blind | None
    needs_second: bool
    can: tuple[str, ...]
    """What who asks may do now: decide, reopen, lock, escalate, note, tag, reveal, assign, print."""
    colleagues: tuple[Colleague, ...] = ()
    asked_at: int = 0
    next: int | None = None
    """Which case would come next for who asks: a look ahead, not a lock."""
    reopened: bool = False
    queue: QueueQuery | None = None
    """The queue that it was taken from, where that is another than all of its kind of work."""


class Dossier(msgspec.Struct, frozen=True):
    """A case for print: the case, what was done to it in order, and hashes that tie it to what was published."""

    case: CaseView
    history: tuple["Step", ...]
    printed_at: int
    printed_by: str
    audit_head: str


class Step(msgspec.Struct, frozen=True):
    """One line of the audit log."""

    seq: int
    at: int
    actor: str
    action: str
    object: str
    before: str
    after: str
    mac: str
