"""One-time codes by time (TOTP, RFC 6238): what an authenticator app shows, six figures that change every 30 seconds.

The database keeps a salt for each account; what the app knows is made of it with a key that is not in the database. So
a copy of the database makes no codes.
"""

import base64
import hashlib
import hmac
from urllib.parse import quote, urlencode

from fraud.core.records import SECOND

STEP = 30 * SECOND
DIGITS = 6
SECRET_BYTES = 20
"""As long as SHA-1's output, which is what every app can do (RFC 4226, section 4)."""
APART = 1
"""Steps that the clock of whoever types may be off, either way."""
ISSUER = "fraud console"


def code_of(secret: bytes, step: int, digits: int = DIGITS) -> str:
    """Return the code of a step, the number of 30 seconds since the epoch (RFC 4226, section 5.3)."""
    digest = hmac.new(secret, step.to_bytes(8, "big"), hashlib.sha1).digest()
    begin = digest[-1] & 0xF
    number = int.from_bytes(digest[begin : begin + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}}"


def step_of(secret: bytes, code: str, now: int, after: int) -> int | None:
    """Return the step that a code is of, None for a wrong one; one at or below `after` was used already.

    `now` is the wall clock, UTC ns. Spaces that people type between figures do not count.
    """
    given = "".join(code.split()).encode("utf-8", "surrogatepass")
    found = None
    for step in range(now // STEP - APART, now // STEP + APART + 1):
        if hmac.compare_digest(code_of(secret, step).encode(), given) and step > after:
            found = step
    return found


def secret_of(key: bytes, number: int, salt: str) -> bytes:
    """Return what the app of account `number` knows."""
    return hmac.new(key, f"second factor\0{number}\0{salt}".encode(), hashlib.sha256).digest()[:SECRET_BYTES]


def shown(secret: bytes) -> str:
    """Return a secret as people type it: base 32, in groups of four."""
    text = base64.b32encode(secret).decode()
    return " ".join(text[begin : begin + 4] for begin in range(0, len(text), 4))


def address_of(secret: bytes, email: str) -> str:
    """Return the address that an app reads from a picture (Key Uri Format)."""
    fields = {"secret": base64.b32encode(secret).decode(), "issuer": ISSUER}
    return f"otpauth://totp/{quote(f'{ISSUER}:{email}')}?{urlencode(fields, quote_via=quote)}"
