"""Every page and its unusual states, with whoever reads them."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from fraud.dashboard.pages import CodeView, InviteView, ProblemView, Reader, Scene, SecondFactorView, SignInView
from fraud.review.page_views import AuditView
from fraud.review.people import Role
from fraud.review.views import SearchView, Timeline
from tests.dashboard import seeded
from tests.dashboard import seeded_leads as leads
from tests.dashboard.seeded import NOW

OFFER = (
    "MFRA NBSW Y3DP FQQH O33S NRSC C",
    "otpauth://totp/fraud%20console%3Aa%40b.example?secret=MFRANBSWY3DPFQQHO33SNRSCC",
)
"""What an app is told, as people type it and as a camera reads it."""


@dataclass(frozen=True)
class Shown:
    """One page: the name of its template, its view, its path."""

    name: str
    view: msgspec.Struct | None
    path: str
    case: str = ""

    @property
    def file(self) -> str:
        """Return the name of a file for it."""
        return f"{self.name}-{self.case}" if self.case else self.name


def reader(role: Role = Role.LEAD, **fields: object) -> Reader:
    return msgspec.structs.replace(Reader("A. Novak", role, "c" * 32), **fields)


def scene(shown: Shown, who: Reader | None = None, **fields: object) -> Scene:
    outside = shown.name in ("sign_in", "invite", "code")
    plain = Scene(None if outside else who or reader(), NOW, shown.path, heard_at=NOW - 400_000_000)
    return msgspec.structs.replace(plain, **fields)


def every_page() -> Iterator[Shown]:
    """Yield every page, and its unusual states."""
    yield Shown("queue", seeded.queue_page(), "/queue")
    yield Shown("queue", msgspec.structs.replace(seeded.queue_page(), rows=(), total=0, at_stake=0), "/queue", "empty")
    yield Shown("queue", seeded.filtered(), "/queue", "filtered")
    yield Shown("queue", seeded.kept(), "/queue?view=3", "kept")
    yield Shown("row", seeded.queue_rows()[0], "/queue/live")
    yield Shown("case", seeded.case_view(), "/cases/7")
    yield Shown("case", msgspec.structs.replace(seeded.case_view(), case=8), "/cases/8", "next")
    yield Shown("case", seeded.second_look(), "/cases/7", "blind")
    yield Shown("case", seeded.decided(), "/cases/7", "decided")
    yield Shown("case", seeded.bare(), "/cases/7", "bare")
    yield Shown("graph", seeded.graph(), "/cases/7/graph?at=alert&hops=2&alert=100")
    yield Shown("timeline", Timeline(seeded.payments(), "k"), "/cases/7/timeline")
    yield Shown("trail", seeded.decided(), "/cases/7/trail")
    yield Shown("bulk", seeded.bulk(), "/bulk")
    yield Shown("search", seeded.search(), "/search")
    yield Shown("search", SearchView("nobody", "EUR", (), more=False), "/search", "nothing")
    yield Shown("entity", seeded.entity(), "/entities/card/~9")
    yield Shown("sign_in", SignInView("E-mail or password is wrong.", "a@b.example", csrf="c"), "/sign-in")
    yield Shown("sign_in", SignInView(csrf="c", provider="Example", out=True), "/sign-in", "provider")
    yield Shown("code", CodeView("/queue", "This code is wrong.", csrf="c"), "/sign-in/code")
    yield Shown("code", CodeView("/queue", "", *OFFER, csrf="c"), "/sign-in/code", "set_up")
    yield Shown("second_factor", SecondFactorView("none", needed=False, secret=OFFER[0], address=OFFER[1]), "/settings")
    yield Shown("second_factor", SecondFactorView("set", needed=False, message="Wrong."), "/settings", "set")
    yield Shown("invite", InviteView("t" * 20, "admin", csrf="c"), "/invite/t")
    yield Shown("error", ProblemView(409, "Somebody was first", "B. Lang decided it."), "/cases/7")
    yield Shown("print", seeded.dossier(), "/cases/7/print")
    yield Shown("team", leads.team(), "/team")
    yield Shown("model", leads.model(), "/model")
    yield Shown("model", leads.young_model(), "/model", "young")
    yield Shown("rules", leads.rules(), "/rules")
    yield Shown("rules", leads.faulty_rules(), "/rules", "faulty")
    yield Shown("rules", leads.first_rules(), "/rules", "first")
    yield Shown("rules_faults", leads.faulty_rules().checked, "/rules/check")
    yield Shown("rules_difference", leads.difference(), "/rules/difference")
    yield Shown("users", leads.users(), "/settings/users")
    yield Shown("audit", AuditView(seeded.steps(), "k", 12_345), "/audit")
