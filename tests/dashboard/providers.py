"""A provider of identities for tests: real HTTP, real keys, and whatever lies it is told to tell."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from fraud.core.records import SECOND
from tests.dashboard.site import NOW

CLIENT, SECRET = "console", "a secret & more"
PERSON = {"sub": "u-1", "email": "ann@example.org", "email_verified": True, "name": "Ann of id"}


@dataclass
class Known:
    """What a browser was sent with to the provider, by the code that it was given."""

    redirect: str
    challenge: str
    nonce: str


@dataclass
class Told:
    """What the provider tells: claims of the next ID token, what signs it, and what it says of itself."""

    claims: dict[str, Any] = field(default_factory=dict)
    key: Any = None
    kid: str = "k1"
    algorithm: str = "RS256"
    discovery: dict[str, Any] = field(default_factory=dict)
    refuses: bool = False


class FakeProvider(ThreadingHTTPServer):
    """Answers as OpenID Connect has it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.keys: dict[str, Any] = {"k1": rsa.generate_private_key(public_exponent=65_537, key_size=2_048)}
        self.told, self.codes, self.asked = Told(), dict[str, Known](), list[str]()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add_key(self, kid: str) -> None:
        """Make another key, as a provider does from time to time."""
        self.keys[kid] = ec.generate_private_key(ec.SECP256R1())

    def visit(self, address: str) -> dict[str, str]:
        """Do what a person does there who is signed in: return the parameters that the browser comes back with."""
        sent = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert (sent["response_type"], sent["client_id"]) == ("code", CLIENT)
        assert sent["code_challenge_method"] == "S256"
        assert "openid" in sent["scope"].split()
        code = f"code-{len(self.codes)}"
        self.codes[code] = Known(sent["redirect_uri"], sent["code_challenge"], sent["nonce"])
        return {"code": code, "state": sent["state"]}

    def token(self, known: Known) -> str:
        """Return the ID token for a code."""
        made = {"iss": self.issuer, "aud": CLIENT, "iat": NOW // SECOND, "exp": NOW // SECOND + 300}
        claims = {**PERSON, **made, "nonce": known.nonce, **self.told.claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        key = self.told.key or self.keys[self.told.kid]
        signer = "" if self.told.algorithm == "none" else key
        return jwt.encode(claims, signer, self.told.algorithm, headers={"kid": self.told.kid})

    def jwks(self) -> dict[str, Any]:
        """Return the public keys."""
        found = []
        for kid, key in self.keys.items():
            kind = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
            found.append({**json.loads(kind.to_jwk(key.public_key())), "kid": kid, "use": "sig"})
        return {"keys": found}


class Handler(BaseHTTPRequestHandler):
    """Answer one request."""

    server: FakeProvider

    def do_GET(self) -> None:
        """Say what this provider is, or name its keys."""
        issuer = self.server.issuer
        self.server.asked.append(self.path)
        if self.path == "/.well-known/openid-configuration":
            own = {
                "issuer": issuer, "authorization_endpoint": f"{issuer}/authorize", "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{issuer}/jwks", "end_session_endpoint": f"{issuer}/logout",
            }  # fmt: skip
            self._answer(200, {**own, **self.server.told.discovery})
        else:
            self._answer(200, self.server.jwks())

    def do_POST(self) -> None:
        """Give an ID token for a code, once, to whoever knows the secret and what the code was asked for with."""
        form = {
            name: values[0]
            for name, values in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()
        }
        known = self.server.codes.pop(form.get("code", ""), None)
        if self.server.told.refuses or known is None or not self._is_client(form):
            self._answer(400, {"error": "invalid_grant", "error_description": "this code is not good"})
            return
        digest = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        assert (digest, form["redirect_uri"]) == (known.challenge, known.redirect)
        self._answer(200, {"access_token": "x", "token_type": "Bearer", "id_token": self.server.token(known)})

    def _is_client(self, form: dict[str, str]) -> bool:
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            name, _, secret = base64.b64decode(given).decode().partition(":")
            return (unquote(name), unquote(secret)) == (CLIENT, SECRET)
        return form.get("client_secret") == SECRET

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def provided() -> Iterator[FakeProvider]:
    """Answer until left."""
    with FakeProvider() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
