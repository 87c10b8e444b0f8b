"""What pages show: the queue, searches, entities, bulk. `case_views` has the case, `page_views` the pages of leads.

A page's template and its JSON twin are made from the same struct. Values are raw: money in minor units of the base
currency unless a currency stands beside it, times in ns UTC, probabilities and shares in [0, 1]. Two things are done
here and not left to a page: names of cards are masked, and a text that names a card is masked too.

Words: kind of work held | declined | challenged | sample; status of an alert open | locked | decided | timed_out; state
of a case open | pending_second | decided | reopened; verdict fraud | genuine | unsure | escalated; action release |
decline | step_up | block_card | none; `took` is what the engine did, approve | challenge | review | decline.
"""

from typing import Literal

import msgspec

Work = Literal["held", "declined", "challenged", "sample"]
Order = Literal["at_stake", "expected_loss", "due", "newest"]
VerdictWord = Literal["fraud", "genuine", "unsure", "escalated"]
ActionWord = Literal["release", "decline", "step_up", "block_card", "none"]
EntityKind = Literal["card", "merchant", "device"]
Column = Literal["risk", "state", "stake", "amount", "card", "why", "channel", "model", "owner", "seen", "left"]
"""What stands beside an alert in the queue, in order."""
Shelf = Literal["kind", "mine", "second", "disputes", "overturned"]
"""What a queue holds: alerts of a kind of work; my own locked, assigned or unsure ones; cases that wait for a second
person; those that a lead decides; my verdicts that a chargeback contradicts."""


class Named(msgspec.Struct, frozen=True):
    """A card, merchant or device. `name` is as shown, masked for a card; `key` stands in addresses."""

    kind: EntityKind
    name: str
    key: str


class Owner(msgspec.Struct, frozen=True):
    """Who has a case: its lock ends at `until`, wall clock; 0 for one that is assigned without a lock."""

    id: int
    name: str
    until: int
    mine: bool


class Reasoned(msgspec.Struct, frozen=True):
    """One reason, as stored: `effect` in log-odds; `without` the probability had this group been usual."""

    code: str
    text: str
    effect: float
    without: float | None = None
    rule: bool = False


class QueueFilter(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a queue is narrowed to; nothing set means all. Amounts in the base currency; `older_than` in ns of age."""

    least: int | None = None
    most: int | None = None
    channel: str = ""
    merchant: str = ""
    card: str = ""
    reason: str = ""
    took: str = ""
    assignee: int | None = None
    older_than: int | None = None
    tag: str = ""

    def __bool__(self) -> bool:
        """Tell whether anything is set."""
        return self != QueueFilter()


class QueueQuery(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which queue, in which order, from where: `after` and `before` are keys that a page gave."""

    kind: Work = "held"
    shelf: Shelf = "kind"
    order: Order = "at_stake"
    filter: QueueFilter = QueueFilter()
    after: str = ""
    before: str = ""
    limit: int = 50
    view: int | None = None


class QueueRow(msgspec.Struct, frozen=True):
    """One alert of a queue. `rule_floor`: a rule lifted the score above the model's. `due_at` 0: it waits for nobody.

    `alerts_on_card` counts open alerts of the card of any kind, this one included; `seen_before` what was seen of the
    card earlier.
    """

    alert: int
    case: int
    uid: str
    kind: Work
    status: str
    took: str
    score: float
    model_score: float | None
    rule_floor: bool
    at_stake: int
    expected_loss: int
    amount: int
    currency: str
    base_amount: int
    card: Named
    merchant: Named
    device: Named | None
    channel: str
    why: tuple[Reasoned, ...]
    alerts_on_card: int
    seen_before: int
    arrived_at: int
    happened_at: int
    due_at: int
    model: str
    owner: Owner | None = None
    verdict: VerdictWord | None = None
    tags: tuple[str, ...] = ()


class Badge(msgspec.Struct, frozen=True):
    """How much waits in a queue: alerts and what is at stake in them; `oldest_at` is when the oldest one arrived."""

    shelf: Shelf
    kind: Work | None
    count: int
    at_stake: int
    oldest_at: int | None = None
    query: QueueQuery = QueueQuery()


class SavedView(msgspec.Struct, frozen=True):
    """A queue that somebody has named; `team`: everybody sees it."""

    id: int
    name: str
    query: QueueQuery
    columns: tuple[str, ...]
    team: bool
    mine: bool
    default: bool


class Colleague(msgspec.Struct, frozen=True):
    """Somebody whom cases can be assigned to, or filtered by."""

    id: int
    name: str
    role: str


class QueuePage(msgspec.Struct, frozen=True):
    """A page of a queue. `after` asks for older rows, `before` for newer ones, empty at either end.

    `total` and `at_stake` are of the whole queue: None where a filter is set, for nobody counts through all rows.
    `newest` is the number of the newest change of an alert when it was asked for: `/queue/live` tells what came since.
    """

    query: QueueQuery
    base: str
    badges: tuple[Badge, ...]
    saved: tuple[SavedView, ...]
    rows: tuple[QueueRow, ...]
    total: int | None
    at_stake: int | None
    after: str
    before: str
    newest: int
    asked_at: int
    colleagues: tuple[Colleague, ...] = ()
    last_decision_at: int = 0
    """Wall clock: when the newest decision was taken in."""

    @property
    def view(self) -> SavedView | None:
        """Return the view that this is, None for none."""
        return next((view for view in self.saved if view.id == self.query.view), None)


class PaymentRow(msgspec.Struct, frozen=True):
    """One payment of a card, merchant or device. `verdict` and its source are what is known of it by now."""

    tx_id: str
    happened_at: int
    amount: int
    card: Named
    merchant: Named
    device: Named | None
    took: str
    score: float
    verdict: str | None
    source: str | None
    case: int | None = None
    this: bool = False
    here: bool = False
    """At the merchant that the case is about."""


class PastVerdict(msgspec.Struct, frozen=True):
    """A verdict that was given. `action` is what was done with it; `contradicted`: a chargeback says otherwise."""

    id: int
    case: int
    alert: int
    tx_id: str
    verdict: VerdictWord
    action: ActionWord
    by: str
    at: int
    blind: bool = False
    second_of: int | None = None
    superseded: bool = False
    contradicted: bool = False
    note: str = ""
    unreviewed: bool = False
    """It was to be given once more, and nobody did in time."""


class EntityView(msgspec.Struct, frozen=True):
    """The history of a card, merchant or device, newest first; `after` asks for older payments."""

    entity: Named
    base: str
    first_at: int
    last_at: int
    alerts: int
    frauds: int
    cards: int | None
    """Cards that paid here within a day of the newest payment; None for a card."""
    open_alerts: tuple[QueueRow, ...]
    payments: tuple[PaymentRow, ...]
    verdicts: tuple[PastVerdict, ...]
    after: str
    blocked: bool = False
    """A card that this console has blocked, and not let free again."""


class Hit(msgspec.Struct, frozen=True):
    """One thing found: what it is, where it is, and what is shown of it."""

    kind: Literal["card", "merchant", "device", "payment", "alert", "case", "note"]
    text: str
    address: str
    at: int
    state: str = ""
    base_amount: int | None = None


class SearchView(msgspec.Struct, frozen=True):
    """What a search found, newest first within a kind; `more`: there was more than is shown."""

    query: str
    base: str
    hits: tuple[Hit, ...]
    more: bool


class BulkPreview(msgspec.Struct, frozen=True):
    """What a step over many alerts would do, before it is done. `left_out` says which cannot take part, and why."""

    alerts: tuple[int, ...]
    count: int
    cards: int
    merchants: int
    base_amount: int
    at_stake: int
    base: str
    cap: int
    verdict: VerdictWord
    action: ActionWord
    need_second: int
    """So many of them wait for a second person, and nothing leaves before."""
    left_out: tuple["LeftOut", ...] = ()
    queue: QueueQuery = QueueQuery()
    """Where they were selected, and where one goes back to."""


class LeftOut(msgspec.Struct, frozen=True):
    """One alert that a bulk step cannot touch."""

    alert: int
    why: str


class Decided(msgspec.Struct, frozen=True):
    """What a verdict came to.

    `undo` is a token, good until `undo_until` (wall clock); `next_case` is locked for who decided, None when nothing
    waits.
    """

    case: int
    state: str
    alerts: tuple[int, ...]
    verdict: VerdictWord
    action: ActionWord
    undo: str
    undo_until: int
    next_case: int | None = None
    needs_second: bool = False
    sent: bool = True
    """False where no label leaves: unsure, escalated, or a second person has to look first."""


class Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody says of a case: the verdict has no default, for one would say it for them.

    An empty `action` is the one that the page shows with the verdict (`CaseView.then`). `alerts` are those that it goes
    to, all open ones when empty. `worth`: 1 it was worth a look, -1 not, None not said. `keys` and `seconds` are what
    it took.
    """

    verdict: VerdictWord
    action: ActionWord | Literal[""] = ""
    alerts: tuple[int, ...] = ()
    note: str = ""
    worth: int | None = None
    keys: int = 0
    seconds: float = 0.0


class Timeline(msgspec.Struct, frozen=True):
    """Payments, newest first; `after` asks for older ones, empty at the end."""

    payments: tuple[PaymentRow, ...]
    after: str


class Undone(msgspec.Struct, frozen=True):
    """What was taken back, and the cases that are open again."""

    cases: tuple[int, ...]
    alerts: tuple[int, ...]
