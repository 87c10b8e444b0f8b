"""Signing in by a provider of identities: OpenID Connect, authorization code flow with PKCE (RFC 7636).

Nothing is kept here between the way there and the way back: state, nonce and the code's verifier are made of one random
ticket, which the browser keeps in a cookie that no script reads. Whoever comes back without it began nothing here. The
provider's word, the ID token, is believed when its signature is by a key of the provider, it was made for this console,
in answer to this ticket, a moment ago. How it is told: https://openid.net/specs/openid-connect-core-1_0.html, 3.1.3.7.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

import httpx
import jwt
import msgspec

from fraud.core.errors import SettingsError
from fraud.core.records import HOUR, MINUTE, SECOND
from fraud.review.errors import ForbiddenError, UnavailableError
from fraud.review.federation import Identity
from fraud.review.people import Role
from streaming.settings import OidcSection

SIGNED_BY = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a key that only the provider has; one by a shared secret, or none, is not among them."""
REQUIRED = ["iss", "sub", "aud", "exp", "iat", "nonce"]
LEEWAY = MINUTE
"""How far the provider's clock may be off."""
FRESH = 10 * MINUTE
"""How old the provider's word may be: people type passwords before it is given, not after."""
KNOWN_FOR, KEYS_AGAIN = HOUR, MINUTE
"""How long what the provider says of itself is believed, and how often its keys are asked for at most."""
SECONDS, MOST_BYTES = 10.0, 1 << 20
LONGEST_SUBJECT = 255
LOCAL = ("localhost", "127.0.0.1", "::1")


class Discovered(msgspec.Struct, frozen=True):
    """What a provider says of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class Provider:
    """One provider of identities. Every call may take a moment, and is made on a thread."""

    def __init__(self, section: OidcSection, elapsed: Callable[[], int]) -> None:
        """Take the settings, and a clock that goes on steadily.

        Raises:
            SettingsError: the settings name no client, or an issuer that is not reached over TLS.
        """
        parts = urlsplit(section.issuer)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
            msg = f"console.oidc.issuer is {section.issuer!r}: expected an address that begins with https://"
            raise SettingsError(msg)
        if not section.client_id:
            msg = "console.oidc.client_id is empty: expected what the provider calls this console"
            raise SettingsError(msg)
        self.name = section.name or str(parts.hostname)
        self._section, self._secret, self._elapsed = section, section.secret.plain, elapsed
        self._roles = roles_of(section.roles)
        self._discovered: tuple[int, Discovered] | None = None
        self._keys: tuple[int, Mapping[str, jwt.PyJWK]] | None = None

    def ticket(self) -> str:
        """Return a ticket for one sign-in."""
        return secrets.token_urlsafe(32)

    def address(self, ticket: str, back: str) -> str:
        """Return where a browser goes to; it comes back to the address `back`.

        Raises:
            UnavailableError: the provider does not answer.
        """
        challenge = hashlib.sha256(_derived(ticket, "verifier").encode()).digest()
        fields = {
            "response_type": "code",
            "client_id": self._section.client_id,
            "redirect_uri": back,
            "scope": self._section.scopes,
            "state": _derived(ticket, "state"),
            "nonce": _derived(ticket, "nonce"),
            "code_challenge": _plain(challenge),
            "code_challenge_method": "S256",
        }
        return _with(self._provider().authorization_endpoint, fields)

    def identity(self, ticket: str, answer: Mapping[str, str], back: str, now: int) -> Identity:
        """Return who has come back with the parameters `answer`; `now` is the wall clock, UTC ns.

        Raises:
            ForbiddenError: it was not begun with this ticket, the provider refuses, or its word is not to be believed.
            UnavailableError: the provider does not answer.
        """
        if not ticket or not _same(answer.get("state", ""), _derived(ticket, "state")):
            msg = "This sign-in was not begun in this browser, or long ago: begin it again here."
            raise ForbiddenError(msg)
        if "error" in answer:
            msg = f"{self.name} says: {_told(answer)}"
            raise ForbiddenError(msg)
        token = self._exchanged(answer.get("code", ""), ticket, back)
        claims = self._checked(token, now)
        if not _same(str(claims["nonce"]), _derived(ticket, "nonce")):
            _doubt("it answers another sign-in than this one")
        return self._identity(claims)

    def way_out(self, back: str) -> str:
        """Return where a browser signs out of the provider too, `back` where that is not told.

        Raises:
            UnavailableError: the provider does not answer.
        """
        out = self._provider().end_session_endpoint
        return _with(out, {"client_id": self._section.client_id, "post_logout_redirect_uri": back}) if out else back

    # --- what the provider says

    def _exchanged(self, code: str, ticket: str, back: str) -> str:
        """Return the ID token that the provider gives for a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "client_id": self._section.client_id,
            "code_verifier": _derived(ticket, "verifier"),
        }
        found = self._provider()
        basic = None
        if self._secret and "client_secret_basic" in found.token_endpoint_auth_methods_supported:
            # Both are written as a form has them first (RFC 6749, section 2.3.1).
            basic = httpx.BasicAuth(quote(self._section.client_id, safe=""), quote(self._secret, safe=""))
        elif self._secret:
            form["client_secret"] = self._secret
        told = self._asked("POST", found.token_endpoint, data=form, auth=basic)
        if "error" in told:
            msg = f"{self.name} does not take the sign-in back: {_told(told)}"
            raise ForbiddenError(msg)
        return str(told.get("id_token", ""))

    def _checked(self, token: str, now: int) -> dict[str, Any]:
        """Return the claims of an ID token that is to be believed."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in SIGNED_BY:
                _doubt(f"it is signed by {header.get('alg')!r}")
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key(str(header.get("kid", ""))).key,
                algorithms=[header["alg"]],
                audience=self._section.client_id,
                issuer=self._section.issuer,
                # Times are compared just below, with the clock that everything here is told.
                options={"require": REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except (jwt.InvalidTokenError, TypeError, ValueError) as error:
            _doubt(str(error))
        self._need_now(claims, now)
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", "" if several else self._section.client_id) != self._section.client_id:
            _doubt("it was made for another client")
        return claims

    def _need_now(self, claims: Mapping[str, Any], now: int) -> None:
        try:
            ends, made = int(claims["exp"]) * SECOND, int(claims["iat"]) * SECOND
        except (TypeError, ValueError):
            _doubt("its times are no numbers")
        if now >= ends + LEEWAY or now - made >= FRESH + LEEWAY:
            _doubt("it has expired")
        if made > now + LEEWAY:
            _doubt("it is of the future: compare the clocks")

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        section, subject = self._section, str(claims["sub"])
        if not 0 < len(subject) <= LONGEST_SUBJECT:
            _doubt(f"its subject has {len(subject)} characters")
        sure = section.trust_email or claims.get("email_verified") is True
        return Identity(
            issuer=section.issuer,
            subject=subject,
            email=str(claims.get("email") or "").strip().lower() if sure else "",
            name=str(claims.get("name") or claims.get("preferred_username") or ""),
            mapped=bool(section.role_claim),
            role=self._role(claims),
        )

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the highest role of those that the claim names; a dot leads into claims within claims."""
        found: Any = claims
        for name in self._section.role_claim.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        words = [found] if isinstance(found, str) else found if isinstance(found, Sequence) else []
        return max((self._roles[str(word)] for word in words if str(word) in self._roles), default=None)

    def _provider(self) -> Discovered:
        if self._discovered is None or self._elapsed() - self._discovered[0] >= KNOWN_FOR:
            issuer = self._section.issuer
            told = self._asked("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            try:
                found = msgspec.convert(told, Discovered)
            except msgspec.ValidationError as error:
                self._fail(f"what it says of itself cannot be read ({error})")
            if found.issuer != issuer:
                self._fail(f"it calls itself {found.issuer!r}, and console.oidc.issuer is {issuer!r}")
            self._discovered = self._elapsed(), found
        return self._discovered[1]

    def _key(self, name: str) -> jwt.PyJWK:
        """Return a key of the provider's; they are asked for again where it is not among those that are known."""
        known = self._keys
        if known is None or (name not in known[1] and self._elapsed() - known[0] >= KEYS_AGAIN):
            told = self._asked("GET", self._provider().jwks_uri)
            self._keys = known = self._elapsed(), _keys_in(told)
        keys = known[1]
        if not name and len(keys) == 1:
            return next(iter(keys.values()))
        if name not in keys:
            _doubt(f"it is signed by a key {name!r} that the provider does not name")
        return keys[name]

    def _asked(self, method: str, address: str, **options: Any) -> dict[str, Any]:
        """Return what the provider answers, as JSON; an answer of an error too, where it is one."""
        try:
            answer = httpx.request(method, address, timeout=SECONDS, headers={"Accept": "application/json"}, **options)
            told = msgspec.json.decode(answer.content[:MOST_BYTES])
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._fail(type(error).__name__)
        except msgspec.DecodeError:
            self._fail(f"status {answer.status_code}, and no JSON")
        if not isinstance(told, dict) or (answer.status_code != httpx.codes.OK and "error" not in told):
            self._fail(f"status {answer.status_code}")
        return told

    def _fail(self, why: str) -> NoReturn:
        msg = f"{self.name} does not answer as a provider of identities does ({why}): try it later."
        raise UnavailableError(msg)


def roles_of(words: Mapping[str, str]) -> dict[str, Role]:
    """Return the roles that values of a claim give; raise SettingsError for a word that is none."""
    try:
        return {value: Role.of(word) for value, word in words.items()}
    except KeyError as error:
        msg = f"console.oidc.roles names the role {error}: expected one of {', '.join(role.word for role in Role)}"
        raise SettingsError(msg) from error


def _keys_in(told: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """Return the keys that sign, by name; those that cannot be used here are left out."""
    found = {}
    for one in told.get("keys", ()):
        if isinstance(one, dict) and one.get("use", "sig") == "sig" and one.get("kty") != "oct":
            try:
                found[str(one.get("kid", ""))] = jwt.PyJWK.from_dict(one)
            except jwt.PyJWTError:
                continue
    return found


def _derived(ticket: str, what: str) -> str:
    """Return what one ticket makes for one purpose; whoever sees one of them learns nothing of the others."""
    return _plain(hmac.new(ticket.encode(), what.encode(), hashlib.sha256).digest())


def _plain(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def _with(address: str, fields: Mapping[str, str]) -> str:
    return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(fields)}"


def _told(answer: Mapping[str, Any]) -> str:
    """Return what a provider says of an error, in one short line."""
    text = f"{answer.get('error')}: {answer.get('error_description') or 'no more is told'}"
    return "".join(letter if letter.isprintable() else " " for letter in text)[:200]


def _doubt(why: str) -> NoReturn:
    """Refuse what a provider says."""
    msg = f"What the provider says is not to be believed: {why[:200]}."
    raise ForbiddenError(msg)
