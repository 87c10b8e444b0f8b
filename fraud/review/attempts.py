"""How often somebody may try to sign in, counted in the database: by account and by network, minute by minute.

A try counts before the password is looked at, so that many at once cannot slip through; one that succeeds takes its own
away again.
"""

import hashlib
from ipaddress import ip_address, ip_network

from sqlalchemy import Connection, delete, func, select, update

from fraud.core.fields import Duration, Section
from fraud.core.records import MINUTE
from fraud.review.errors import TooManyError
from fraud.review.tables import attempt

SLICE = MINUTE
IPV4_BITS, IPV6_BITS = 24, 64


class Limits(Section, frozen=True):
    """How many failed tries an account and a network have in `window`."""

    account: int
    network: int
    window: Duration

    def keys(self, email: str, address: str) -> dict[str, int]:
        """Return what a try is counted by, with how many are allowed.

        Of an email only a hash is kept: people type their password there.
        """
        name = hashlib.sha256(email.encode("utf-8", "surrogatepass")).hexdigest()
        return {f"account {name}": self.account, f"network {network_of(address)}": self.network}

    def keys_of_code(self, number: int, address: str) -> dict[str, int]:
        """Return what a try of a code is counted by: apart from tries of the password, which was right."""
        return {f"code {number}": self.account, f"network {network_of(address)}": self.network}


def network_of(address: str) -> str:
    """Return the network that an address is counted with; an address that is none, as a socket's name, stands alone.

    >>> network_of("192.0.2.7"), network_of("2001:db8::1:2"), network_of("testclient")
    ('192.0.2.0/24', '2001:db8::/64', 'testclient')
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address
    bits = IPV4_BITS if found.version == 4 else IPV6_BITS
    return str(ip_network(f"{found}/{bits}", strict=False))


def count_try(connection: Connection, keys: dict[str, int], window: int, now: int) -> None:
    """Count a try.

    Raises:
        TooManyError: one of the keys has had as many as it may; the try is not counted then, and nothing is looked at.
    """
    slot, first = now // SLICE, (now - window) // SLICE + 1
    connection.execute(delete(attempt).where(attempt.c.window < first))
    for key, most in keys.items():
        seen = attempt.c.key == key
        had, oldest = connection.execute(
            select(func.coalesce(func.sum(attempt.c.count), 0), func.min(attempt.c.window)).where(seen)
        ).one()
        if had >= most:
            seconds = ((oldest + 1) * SLICE + window - now) // 1_000_000_000
            msg = f"Too many tries to sign in: the next one counts in {-(-seconds // 60)} min."
            raise TooManyError(msg, seconds)
    for key in keys:
        changed = connection.execute(
            update(attempt).where(attempt.c.key == key, attempt.c.window == slot).values(count=attempt.c.count + 1)
        )
        if not changed.rowcount:
            connection.execute(attempt.insert().values(key=key, window=slot, count=1))


def take_back(connection: Connection, keys: dict[str, int]) -> None:
    """Forget the tries of an account that has signed in, and its last one of the network."""
    for key in keys:
        if not key.startswith("network "):
            connection.execute(delete(attempt).where(attempt.c.key == key))
        else:
            newest = select(func.max(attempt.c.window)).where(attempt.c.key == key).scalar_subquery()
            connection.execute(
                update(attempt)
                .where(attempt.c.key == key, attempt.c.window == newest, attempt.c.count > 0)
                .values(count=attempt.c.count - 1)
            )
