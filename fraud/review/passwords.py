"""Passwords: argon2id hashes, made and compared at the same cost whether an account exists or not."""

from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fraud.review.errors import InvalidError

SHORTEST, LONGEST = 12, 256


class Passwords:
    """Makes and compares hashes; each call takes some 50 ms and 64 MiB, so a caller lets few run at once."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        """Take the cost of a hash; without one that of RFC 9106 for machines with little memory."""
        self._hasher = hasher or PasswordHasher()

    def hashed(self, password: str) -> str:
        """Return the hash that is kept.

        Raises:
            InvalidError: the password is too short or too long.
        """
        if not SHORTEST <= len(password) <= LONGEST:
            msg = f"A password has {SHORTEST} to {LONGEST} characters; this one has {len(password)}."
            raise InvalidError(msg)
        return self._hasher.hash(_bytes(password))

    def fits(self, password: str, kept: str | None) -> bool:
        """Tell whether it is the password of a hash; without one the same time passes, and it is not."""
        try:
            self._hasher.verify(kept or self._nobody, _bytes(password[:LONGEST]))
        except (VerificationError, InvalidHashError):
            return False
        return kept is not None and len(password) <= LONGEST

    def outdated(self, kept: str) -> bool:
        """Tell whether a hash was made at another cost than today's."""
        return self._hasher.check_needs_rehash(kept)

    @cached_property
    def _nobody(self) -> str:
        return self._hasher.hash("the password of nobody")


def _bytes(password: str) -> bytes:
    """Return a password as it is hashed; a form may send what is no text."""
    return password.encode("utf-8", "surrogatepass")
