"""The settings of the service: those of the core, what Kafka, Redis and the clock need, and where they come from.

They stand in a TOML file, the environment and what a command line says.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from fraud.common.files import read_private
from fraud.core.attributes.declaration import Declaration, declaration, need_carried
from fraud.core.card_numbers import CardNumbers
from fraud.core.errors import SettingsError
from fraud.core.fields import Address, Duration, Secret, Section, named_secret, positive, setting
from fraud.core.records import HOUR, MINUTE, SECOND
from fraud.core.settings import Settings, load
from fraud.review.settings import ReviewSection
from streaming.messages.money import Rates

S = TypeVar("S", bound=Settings)

FILE = Path("fraud.toml")
"""Read when it lies in the current folder and no other file is named."""

ClientValue = str | int | float | bool
NAMESPACE = re.compile(r"[\w.-]+", re.ASCII)
CLIENT_TABLES = "client", "consumer", "producer", "admin"
"""Tables of `[kafka]` with settings of clients: of all of them, and of those of one role."""


class KafkaSection(Section, frozen=True):
    """Kafka."""

    bootstrap: Annotated[str, setting("Addresses of the brokers, HOST:PORT, separated by commas.")] = "127.0.0.1:9092"
    group: Annotated[str, setting("Consumer group of the workers; the label book's adds '-book'.")] = "fraud"
    prefix: Annotated[str, setting("Put before every topic's name, as in 'eu.'.")] = ""
    delivery: Annotated[
        Literal["fast", "transactional"],
        setting("Exactly once by the state store, or by Kafka transactions for readers that need read_committed."),
    ] = "fast"
    commit_every: Annotated[Duration, setting("How often offsets are committed.", "duration")] = Duration(SECOND // 10)
    session_timeout: Annotated[
        Duration, setting("A worker that is silent for so long loses its partitions.", "duration")
    ] = Duration(10 * SECOND)
    library: Annotated[
        Literal["kafka-python", "confluent"],
        setting("The client of workers and label book: confluent-kafka is faster, and has to be installed."),
    ] = "kafka-python"
    client: Annotated[
        dict[str, ClientValue],
        setting(
            "Any setting of the client in kafka-python's words, for either library, as security_protocol, ssl_cafile, "
            "sasl_mechanism, sasl_plain_username; one that only readers or only writers have goes to those."
        ),
    ] = msgspec.field(default_factory=dict)
    consumer: Annotated[
        dict[str, ClientValue], setting("The same for readers alone, as max_partition_fetch_bytes.")
    ] = msgspec.field(default_factory=dict)
    producer: Annotated[
        dict[str, ClientValue], setting("The same for writers alone, as max_request_size or compression_type.")
    ] = msgspec.field(default_factory=dict)
    admin: Annotated[
        dict[str, ClientValue], setting("The same for what makes and checks topics, as request_timeout_ms.")
    ] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Hide what is a secret among the clients' settings."""
        for table in CLIENT_TABLES:
            given: dict[str, ClientValue] = getattr(self, table)
            secrets = {name: value for name, value in given.items() if named_secret(name)}
            hidden = {name: Secret(value) for name, value in secrets.items() if isinstance(value, str)}
            if hidden:
                msgspec.structs.force_setattr(self, table, given | hidden)


class StoreSection(Section, frozen=True):
    """The state store."""

    url: Annotated[
        Address,
        setting("redis://, rediss:// (TLS) or redis+cluster://, with :PASSWORD@ where there is one.", "secret"),
    ] = Address("redis://127.0.0.1:6379/0")
    namespace: Annotated[
        str, setting("What every key begins with: sites that share a Redis have one each, as they have a prefix.")
    ] = "fraud"
    durable_after: Annotated[
        Duration,
        setting(
            "What was written so long ago survives a power cut: Redis syncs every second, two when the disk is busy.",
            "duration",
        ),
    ] = Duration(3 * SECOND)
    cache: Annotated[
        int,
        setting(
            "Rows that a worker keeps, some 12,000 bytes an entity with history and pairs; others are read at need.",
            "MiB",
            ge=1,
            le=1_048_576,
        ),
    ] = 512
    timeout: Annotated[Duration, setting("A store that is silent for so long is taken for gone.", "duration")] = (
        Duration(SECOND)
    )
    path_timeout: Annotated[
        Duration,
        setting("The same on the path of a decision, where rules alone decide until the store is back.", "duration"),
    ] = Duration(SECOND // 4)

    def __post_init__(self) -> None:
        """Refuse a namespace that would mean something else in a key."""
        if not NAMESPACE.fullmatch(self.namespace):
            msg = f"namespace is {self.namespace!r}, expected letters, digits, '.', '-' and '_', such as 'eu'"
            raise ValueError(msg)


class ServingSection(Section, frozen=True):
    """Deadlines and what is shown to the outside."""

    budget: Annotated[Duration, setting("A decision's deadline after its transaction was sent.", "duration")] = (
        Duration(SECOND // 20)
    )
    http: Annotated[
        int, setting("Port of /metrics, /livez and /readyz; 0: any free one, -1: none.", "port", ge=-1, le=65_535)
    ] = 0
    host: Annotated[str, setting("Address that port is bound to.")] = "127.0.0.1"


class TrainSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How models are fitted; the keys are those of `fraud train --set`."""

    booster: Annotated[dict[str, ClientValue], setting("Settings of a booster's fit, as trees or learning_rate.")] = (
        msgspec.field(default_factory=dict)
    )
    network: Annotated[dict[str, ClientValue], setting("Settings of a network's fit, as epochs or width.")] = (
        msgspec.field(default_factory=dict)
    )


class OidcSection(Section, frozen=True):
    """Signing in by a provider of identities (OpenID Connect)."""

    issuer: Annotated[
        str, setting("The provider's address, as it names itself: https://id.example.org/realms/site; empty: none.")
    ] = ""
    client_id: Annotated[str, setting("What the provider calls this console.")] = ""
    secret: Annotated[Secret, setting("Its secret there; empty where it has none.", "secret")] = Secret("")
    name: Annotated[str, setting("What the button on the sign-in page calls it; empty: the issuer's host.")] = ""
    scopes: Annotated[str, setting("What is asked for.")] = "openid email profile"
    trust_email: Annotated[
        bool, setting("Emails count though the provider does not say that it has verified them (email_verified).")
    ] = False
    role_claim: Annotated[
        str,
        setting(
            "Claim that gives roles, as groups or realm_access.roles; then nobody comes in by it who has none. Empty: "
            "accounts are made by invite, and have the role that they were given here."
        ),
    ] = ""
    roles: Annotated[
        dict[str, Literal["viewer", "analyst", "lead", "admin"]],
        setting("The role that a value of the claim gives; of several the highest."),
    ] = msgspec.field(default_factory=dict)


class ConsoleSection(Section, frozen=True):
    """The console: where it listens, what it keeps, how long somebody stays signed in."""

    database: Annotated[
        Address,
        setting("SQLite (sqlite:///FILE) or PostgreSQL (postgresql+psycopg://USER:PASSWORD@HOST/NAME).", "secret"),
    ] = Address("sqlite:///build/console/console.db")
    keys: Annotated[
        str, setting("Folder of the audit's key, made at the first start for its owner alone; keep a copy.", "path")
    ] = "build/console"
    host: Annotated[str, setting("Address that the port is bound to.")] = "127.0.0.1"
    port: Annotated[int, setting("Port of the console; 0: any free one.", "port", ge=0, le=65_535)] = 8_600
    public_url: Annotated[
        str, setting("How people reach it, as https://console.example.org; empty: by the address they use.")
    ] = ""
    tls: Annotated[
        bool, setting("It is reached over TLS, at a proxy in front: cookies are bound to that and to the host.")
    ] = False
    proxies: Annotated[
        str, setting("Addresses of proxies, separated by commas, whose X-Forwarded-For is believed; empty: none.")
    ] = ""
    idle: Annotated[Duration, setting("Nothing done for so long signs out.", "duration")] = Duration(30 * MINUTE)
    session: Annotated[Duration, setting("Signed out so long after signing in, whatever is done.", "duration")] = (
        Duration(12 * HOUR)
    )
    invite: Annotated[Duration, setting("An invite is good for so long, once.", "duration")] = Duration(HOUR)
    tries_account: Annotated[int, setting("Failed sign-ins of an account in tries_window.", "tries", ge=1)] = 5
    tries_network: Annotated[
        int, setting("The same of a network: IPv4 by the first three numbers, IPv6 by 64 bits.", "tries", ge=1)
    ] = 20
    tries_window: Annotated[Duration, setting("Stretch in which they are counted.", "duration")] = Duration(15 * MINUTE)
    poll: Annotated[Duration, setting("How often open pages are told of what has changed.", "duration")] = Duration(
        SECOND // 5
    )
    second_factor: Annotated[
        Literal["off", "optional", "viewer", "analyst", "lead", "admin"],
        setting(
            "Who is asked for a code of an app (TOTP) beside the password: nobody, who has set one up, or everybody "
            "from a role on."
        ),
    ] = "optional"
    oidc: Annotated[OidcSection, setting("Signing in by a provider of identities.")] = msgspec.field(
        default_factory=OidcSection
    )
    viewers: Annotated[int, setting("Most pages that are told at once.", "pages", ge=1, le=10_000)] = 500
    viewers_each: Annotated[
        int,
        setting("Of them, most of one browser, which needs connections for other pages too.", "pages", ge=1, le=100),
    ] = 4

    def __post_init__(self) -> None:
        """Refuse spans of nothing."""
        positive(self, "idle", "session", "invite", "tries_window", "poll")


class ServiceSettings(Settings, frozen=True):
    """Every setting, by section."""

    kafka: KafkaSection = msgspec.field(default_factory=KafkaSection)
    store: StoreSection = StoreSection()
    serving: ServingSection = ServingSection()
    train: TrainSection = msgspec.field(default_factory=TrainSection)
    console: ConsoleSection = ConsoleSection()
    review: ReviewSection = ReviewSection()


def read_settings(path: Path | None = None, env: Mapping[str, str] | None = None) -> ServiceSettings:
    """Return the settings of a file, overridden by the environment.

    Without a path it is `fraud.toml` of the current folder where there is one, otherwise the defaults.

    Raises:
        SettingsError: when the named file does not exist, or something in it or in the environment is wrong.
    """
    if path is None and FILE.exists():
        path = FILE
    try:
        text = path.read_text() if path is not None else ""
    except OSError as error:
        msg = f"settings file {path} cannot be read ({error.strerror}): see 'fraud settings' for what may stand in one"
        raise SettingsError(msg) from error
    found = load(text, os.environ if env is None else env, ServiceSettings, secret_in)
    declared(found)
    return found


def secret_in(path: str) -> str:
    """Return the secret in a file; raise SettingsError where it cannot be read, or others may read it."""
    return read_private(Path(path), "the secret's file", "name another one in the settings").strip()


def changed(settings: S, section: str, **values: object) -> S:
    """Return the settings with some values of a section changed; None leaves a value as it is, a path becomes text."""
    before = getattr(settings, section)
    given = {key: _as_kept(getattr(before, key), value) for key, value in values.items() if value is not None}
    return msgspec.structs.replace(settings, **{section: msgspec.structs.replace(before, **given)})


def _as_kept(before: object, value: object) -> object:
    """Return a value as a section keeps it, in whose place something stood before."""
    if isinstance(value, Path):
        return str(value)
    return type(before)(value) if isinstance(before, Secret) and isinstance(value, str) else value


def rates(settings: Settings) -> Rates:
    """Return the currencies as the decoders use them.

    Raises:
        SettingsError: when a rate cannot be.
    """
    money = settings.money
    worth = {code: str(rate) for code, rate in money.worth().items()}
    return Rates(money.base, worth, money.digits, money.max_amount)


def declared(settings: Settings) -> Declaration:
    """Return the own columns of a site; raise SettingsError where they cannot be."""
    need_carried(settings.attrs)
    return declaration(settings.attrs, "settings")


def card_numbers(settings: Settings) -> CardNumbers:
    """Return what becomes of card numbers, the same one for the same settings; raise SettingsError where a key is none.

    So the state store of a process knows which earlier tokens its decoders have met.
    """
    return _card_numbers(settings.cards)


_card_numbers = lru_cache(maxsize=8)(CardNumbers)


def gate_of(settings: Settings) -> dict[str, Any]:
    """Return by which settings labels are held back, as plain values; empty where none are."""
    if not settings.gate.enabled:
        return {}
    return {**msgspec.to_builtins(settings.gate, enc_hook=str), "every": str(settings.refresh.every)}


def fingerprint(settings: Settings) -> str:
    """Return a hash of the settings that features depend on: currencies, lateness, deadlines, and the gate, if any.

    With the gate, features see a label up to a period later, and none that it holds. With a key of card numbers cards
    go by other names, of which distinct ones are counted by their hashes.
    """
    parts: tuple[object, ...] = settings.money, settings.lateness, settings.labels
    if version := card_numbers(settings).version:
        parts = *parts, version
    if settings.gate.enabled:
        parts = *parts, settings.gate, settings.refresh.every
    if own := declared(settings):
        parts = *parts, own
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
