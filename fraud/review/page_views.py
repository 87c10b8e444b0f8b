"""What the pages of leads and administrators show: team, model, rules, audit. Values are raw, as in `views`."""

from typing import Literal

import msgspec

from fraud.review.case_views import Step
from fraud.review.views import QueueQuery


class Share(msgspec.Struct, frozen=True):
    """A share with its 95 % interval (Wilson): `part` of `whole`; None where there is nothing to divide."""

    part: int
    whole: int
    value: float | None
    low: float | None
    high: float | None


class Aged(msgspec.Struct, frozen=True):
    """How many wait that are younger than `below` ns (0: no bound), and what is at stake in them."""

    below: int
    count: int
    at_stake: int


class Hour(msgspec.Struct, frozen=True):
    """One hour, from `at` on, wall clock."""

    at: int
    came: int
    decided: int
    timed_out: int


class MemberRow(msgspec.Struct, frozen=True):
    """One person today; `agreement` and `kappa` are of blind second reviews of 30 days."""

    id: int
    name: str
    role: str
    open: int
    decided: int
    median_seconds: float | None
    fraud: Share
    overturned: Share
    agreement: Share
    kappa: float | None
    last_at: int


class Waste(msgspec.Struct, frozen=True):
    """A reason code among those that people said were not worth a review."""

    code: str
    count: int
    share: float


class Dispute(msgspec.Struct, frozen=True):
    """Two people who disagree on a case."""

    case: int
    first: str
    first_verdict: str
    second: str
    second_verdict: str
    at: int
    at_stake: int


class SecondRow(msgspec.Struct, frozen=True):
    """Cases that wait for another person, by what for: four_eyes, blind, dispute or escalated.

    `ageing` counts by the time since the newest verdict on each, `oldest_at` is that of the oldest.
    """

    kind: Literal["four_eyes", "blind", "dispute", "escalated"]
    count: int
    at_stake: int
    ageing: tuple[Aged, ...]
    oldest_at: int


class TeamView(msgspec.Struct, frozen=True):
    """The team's day, from midnight UTC of the wall clock."""

    base: str
    asked_at: int
    day_at: int
    came: int
    decided: int
    timed_out: int
    waiting: int
    at_stake: int
    capacity_left: int | None
    """How many more can be decided until `closes_at` at today's speed; None before anything was decided."""
    closes_at: int
    ageing: tuple[Aged, ...]
    near_deadline: int
    oldest_at: int | None
    precision: dict[str, Share]
    """Share of frauds among what became known of alerts of 30 days, by kind of work."""
    hours: tuple[Hour, ...]
    members: tuple[MemberRow, ...]
    seconds: tuple[SecondRow, ...]
    lapsed: int
    """Verdicts of 30 days whose second look nobody took."""
    lapses_after: int
    second_query: QueueQuery
    disputes: tuple[Dispute, ...]
    not_worth: Share
    not_worth_by: tuple[Waste, ...]


class ReleaseView(msgspec.Struct, frozen=True):
    """A release: model, rules and policy that decide together."""

    id: str
    model: str
    rules: str
    policy: str
    state: str
    by: str
    at: int
    share: float = 1.0


class RefreshRow(msgspec.Struct, frozen=True):
    """One event of the learner, newest first: what it did, and its figures as it told them; None where it told none."""

    at: int
    kind: str
    version: str
    text: str
    labels: int | None = None


class RefreshView(msgspec.Struct, frozen=True):
    """What the learner told; not `present` where none has spoken to this console."""

    present: bool
    version: str
    live_since: int
    state: str
    labels: int
    refused_today: int
    label_to_live: int | None
    """Median from a label's sending to its being live, ns, of the last 1,000."""
    events: tuple[RefreshRow, ...]


class Bin(msgspec.Struct, frozen=True):
    """Payments whose verdict is known, by band of probability: what was said on average, what came."""

    low: float
    high: float
    said: float
    came: float
    count: int


class ModelBin(msgspec.Struct, frozen=True):
    """Alerts of one model of which something is known: the mean of what it said, the share of frauds that came."""

    model: str
    said: float
    came: Share


class ScoreBar(msgspec.Struct, frozen=True):
    """Decisions by band of score: today's, and those of 30 days."""

    low: float
    high: float
    today: int
    days: int


class DriftRow(msgspec.Struct, frozen=True):
    """One feature that drifts, with its index of stability."""

    feature: str
    psi: float
    alarmed: bool


class StageRow(msgspec.Struct, frozen=True):
    """One stage of the path, of the last hour, ms."""

    stage: str
    p50: float
    p99: float
    count: int


class LabelsView(msgspec.Struct, frozen=True):
    """What is known of the payments of 30 days: share, median delay (ns), share that came by silence."""

    known: Share
    delay: int | None
    silence: Share
    by_source: dict[str, int]


class ModelView(msgspec.Struct, frozen=True):
    """The model page."""

    base: str
    asked_at: int
    release: ReleaseView | None
    seen: tuple["Deciding", ...]
    refresh: RefreshView
    guard: str
    calibration: tuple[Bin, ...]
    by_model: tuple[ModelBin, ...]
    """Of the newest alerts, the model with most of them first: bands are of payments, whichever model scored them."""
    scores: tuple[ScoreBar, ...]
    drift: tuple[DriftRow, ...]
    drift_of: int
    stages: tuple[StageRow, ...]
    labels: LabelsView
    history: tuple[ReleaseView, ...]


class Deciding(msgspec.Struct, frozen=True):
    """What the newest alerts say that they were decided by, and how many of them say so."""

    model: str
    rules: str
    policy: str
    count: int
    last_at: int


class FaultRow(msgspec.Struct, frozen=True):
    """A fault of a rule text: line and column from 1, its width in characters, what to do."""

    line: int
    column: int
    width: int
    message: str
    source: str
    file: str = ""


class Checked(msgspec.Struct, frozen=True):
    """A rule text, looked at: its version and its rules, or its faults."""

    version: str
    rules: tuple[str, ...]
    lists: tuple[str, ...]
    faults: tuple[FaultRow, ...]


class RuleUse(msgspec.Struct, frozen=True):
    """A rule of the version shown.

    Alerts of 30 days that it spoke in, their precision among known ones, and how many it alone found.
    """

    name: str
    text: str
    hits: int
    precision: Share
    cards: int
    alone: int
    not_worth: Share
    overlap: str = ""
    overlap_count: int = 0


class ListUse(msgspec.Struct, frozen=True):
    """A list of the version shown."""

    name: str
    text: str


class RuleVersion(msgspec.Struct, frozen=True):
    """A version of the rules, without its text."""

    version: str
    author: str
    at: int
    note: str
    parent: str
    live: bool
    faulty: bool


class PendingOrder(msgspec.Struct, frozen=True):
    """An activation that waits for a second person; `release` is set where it goes back to an earlier one."""

    id: str
    rules: str
    by: str
    by_id: int
    at: int
    mine: bool
    note: str = ""
    release: str = ""


class RulesView(msgspec.Struct, frozen=True):
    """The rules page: one version with its text, and what may be done with it."""

    version: str
    live: str
    text: str
    lists: dict[str, str]
    author: str
    at: int
    note: str
    parent: str
    checked: Checked
    uses: tuple[RuleUse, ...]
    list_uses: tuple[ListUse, ...]
    versions: tuple[RuleVersion, ...]
    pending: tuple[PendingOrder, ...]
    needs_second: bool
    can_activate: bool
    release: ReleaseView | None = None


class DiffLine(msgspec.Struct, frozen=True):
    """One line of a difference: " " both, "-" only in the first, "+" only in the second; numbers from 1, 0 for none."""

    mark: str
    before: int
    after: int
    text: str


class RulesDiff(msgspec.Struct, frozen=True):
    """The difference of two versions of the rules."""

    before: str
    after: str
    lines: tuple[DiffLine, ...]


class Activated(msgspec.Struct, frozen=True):
    """What an activation came to: ordered, or waiting for a second person."""

    rules: str
    ordered: bool
    pending: str | None = None
    release: str = ""


class AuditView(msgspec.Struct, frozen=True):
    """A page of the audit log, newest first."""

    rows: tuple[Step, ...]
    after: str
    total: int


class UserRow(msgspec.Struct, frozen=True):
    """One account."""

    id: int
    name: str
    email: str
    role: str
    state: str
    last_at: int
    signs_in_by: str = "password"
    """`password`, `password and code`, or `provider` of identities."""


class UsersView(msgspec.Struct, frozen=True):
    """The accounts, and invites that are still good."""

    users: tuple[UserRow, ...]
    invites: tuple["InviteRow", ...]


class InviteRow(msgspec.Struct, frozen=True):
    """An invite that nobody has used: its role, and until when it is good."""

    role: str
    expires: int
