"""Signatures of artifacts: whose they are, by Ed25519 (RFC 8032), for sites that take no others.

A version says that an artifact is the one that was saved; whoever may write to the folder may write another. A
signature says who saved it. It lies beside the card, in `card.sig`, a line for each signer: the public key and the
signature of the card's file, both in hexadecimal digits. The card has the hash of the weights, so it covers them too.

`cryptography` is needed: the extra `signing`.
"""

from collections.abc import Sequence
from pathlib import Path
from string import hexdigits
from typing import TYPE_CHECKING

from fraud.common.files import new_private, read_private, write_atomic
from fraud.core.errors import ArtifactError, SettingsError
from models.registry import CARD

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE = "card.sig"
CONTEXT = b"fraud model card 1\0"
"""What is signed begins with it, so that no signature of something else is taken for one of a card."""
KEY_DIGITS = 64


def make_key(path: Path) -> str:
    """Write a new private key, for its owner alone; return the public key.

    Raises:
        SettingsError: when there is something at that place, or nothing can be written there.
    """
    need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    new_private(path, key.private_bytes_raw().hex() + "\n", "a signing key")
    return public_of(key)


def read_key(path: Path) -> "Ed25519PrivateKey":
    """Return the private key in a file; raise SettingsError when it is none, or others may read it."""
    need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    text = read_private(path, "the signing key", "name its file with --key; 'fraud models make-key FILE' writes one")
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text.strip()))
    except ValueError as error:
        msg = f"{path} is no signing key: expected {KEY_DIGITS} hexadecimal digits, as 'fraud models make-key' writes"
        raise SettingsError(msg) from error


def public_of(key: "Ed25519PrivateKey") -> str:
    """Return the public key of a private one, in hexadecimal digits."""
    return key.public_key().public_bytes_raw().hex()


def sign(folder: Path, key: "Ed25519PrivateKey") -> str:
    """Sign the card of a version's folder, beside signatures of others; return the public key."""
    public = public_of(key)
    others = {signer: text for signer, text in signed_by(folder).items() if signer != public}
    lines = {**others, public: key.sign(CONTEXT + (folder / CARD).read_bytes()).hex()}
    content = "".join(f"{signer} {text}\n" for signer, text in lines.items())
    write_atomic(folder / FILE, content.encode(), private=False)
    return public


def signers(folder: Path) -> list[str]:
    """Return the public keys whose signatures of a version's card are right."""
    need_cryptography()
    content = CONTEXT + (folder / CARD).read_bytes()
    return [public for public, text in signed_by(folder).items() if is_signature(public, text, content)]


def is_signature(public: str, text: str, content: bytes) -> bool:
    """Tell whether a text in hexadecimal digits is the signature of some content."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(text), content)
    except (InvalidSignature, ValueError):
        return False
    return True


def signed_by(folder: Path) -> dict[str, str]:
    """Return the signatures beside a card, by public key, right or not."""
    try:
        lines = (folder / FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def require_trusted(folder: Path, trusted: Sequence[str]) -> None:
    """Raise ArtifactError unless one of some public keys has signed a version's card; none asks for nothing."""
    if not trusted or trusted_among(signers(folder), trusted):
        return
    held, wanted = (", ".join(f"{public[:12]}..." for public in keys) for keys in (signed_by(folder), trusted))
    msg = (
        f"{folder / CARD} is signed by {held or 'nobody'}, and model.trusted asks for one of {wanted}: find out who "
        "has put it there, then 'fraud models sign NAME@VERSION --key FILE'"
    )
    raise ArtifactError(msg)


def trusted_among(signers: Sequence[str], trusted: Sequence[str]) -> set[str]:
    """Return those of some public keys that are trusted: all of them where nobody is named."""
    return set(signers) & normal(trusted) if trusted else set(signers)


def normal(trusted: Sequence[str]) -> set[str]:
    """Return public keys as signatures name them; raise SettingsError for one that is none."""
    for public in trusted:
        if len(public) != KEY_DIGITS or not all(digit in hexdigits for digit in public):
            msg = (
                f"model.trusted: {public!r} is no public key: expected {KEY_DIGITS} hexadecimal digits, as "
                "'fraud models make-key' prints them"
            )
            raise SettingsError(msg)
    return {public.lower() for public in trusted}


def need_cryptography() -> None:
    """Raise SettingsError where the library is not installed."""
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        msg = "signatures of models need cryptography: install the extra 'signing' (pip install 'fraud[signing]')"
        raise SettingsError(msg) from error
