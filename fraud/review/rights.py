"""Who may do what: asked in every function of the desk, not in the pages that call them."""

from fraud.review.errors import ForbiddenError
from fraud.review.people import Person, Role


def need(who: Person, role: Role, what: str) -> None:
    """Raise ForbiddenError unless a person's role is at least `role`; `what` completes "may not ..."."""
    if who.role < role:
        msg = (
            f"{who.name} ({who.role.word}) may not {what}: expected at least {role.word}; an administrator gives roles"
        )
        raise ForbiddenError(msg)
