"""Versions that decisions name, found where a site keeps them; and rules put in force as releases."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fraud.core.errors import ArtifactError, FraudError, ReleaseError, RuleError, SettingsError
from fraud.core.ports import Policy
from fraud.core.releases import NO_RULES, Release, Releases
from fraud.core.rules.bundle import need_bundle, parted, text_hash
from fraud.core.rules.ruleset import RuleSet
from fraud.core.rules.vocabulary import Vocabulary
from fraud.dashboard.scoring import SiteModels
from fraud.review.errors import ConflictError, InvalidError
from fraud.review.library import InUse, Order, Rescored
from streaming import clock, release_wiring, service_wiring, wiring
from streaming.files.releases import FolderReleases
from streaming.releasing import Move, NoHistories, Releasing, Wanted, bundle_of
from streaming.rule_file import compiled_bundle
from streaming.settings import ServiceSettings, card_numbers

LIVE_NS = 2_000_000_000
"""What is in force is asked for no more often than so: every case page wants to know."""


class SiteLibrary:
    """What a site knows of versions: by its releases, and by its settings."""

    def __init__(self, settings: ServiceSettings, releases: Releases) -> None:
        """Take the settings, and who keeps releases and their texts."""
        self._settings, self._releases = settings, releases
        self._spec = wiring.spec_of(settings)
        self._rules: dict[str, RuleSet] = {}
        self._policies: dict[str, Policy] = {}
        self._live: tuple[int, InUse] = (-LIVE_NS, InUse())
        self._models = SiteModels(settings)

    def names(self, spec_version: str) -> tuple[str, ...] | None:
        """Return the names of the features of a spec version, None for one that is not this program's."""
        return self._spec.names if spec_version == self._spec.version else None

    def vocabulary(self) -> Vocabulary:
        """Return what rules may name."""
        return wiring.vocabulary(self._settings)

    def rules(self, version: str) -> RuleSet | None:
        """Return compiled rules, None where their text is not kept here."""
        if version not in self._rules:
            for compiled in self._found(version):
                self._rules[compiled.version] = compiled
        return self._rules.get(version)

    def policy(self, version: str) -> Policy | None:
        """Return a policy, None where it is neither that of the settings nor that of a release."""
        if version not in self._policies:
            for policy in self._policies_there():
                self._policies[policy.version] = policy
        return self._policies.get(version)

    def in_use(self) -> InUse:
        """Return what decides now: the release in force; what the settings say of rules and policy without one.

        It is up to two seconds old, but never older than the last order of this console.
        """
        at, known = self._live
        if (now := clock.monotonic_ns()) - at >= LIVE_NS:
            known = self._in_use()
            self._live = now, known
        return known

    def ask_anew(self) -> None:
        """Have what decides asked for at the next call."""
        self._live = (-LIVE_NS, InUse())

    def score(self, model: str, learned: bytes, of: Rescored) -> float:
        """Return the probability that a model gives a payment; raise ArtifactError where that cannot be told."""
        return self._models.score(model, learned, of)

    def texts_in_use(self) -> tuple[str, dict[str, str]] | None:
        """Return the rules that decide now, with their list files by name; None where there are none, or not here."""
        version = self.in_use().rules
        for bundle in self._bundles(version):
            if text_hash(bundle) == version:
                return parted(bundle)
        return None

    def _in_use(self) -> InUse:
        try:
            live = self._releases.live()
        except FraudError:
            return InUse()
        if live is not None:
            policy = self._policy_of(live)
            return InUse(live.model, live.rules, policy.version if policy else "", release=live.id)
        try:
            rules = wiring.rule_book(self._settings).version
        except RuleError:
            rules = ""
        own = self._own_policy()
        return InUse(rules=rules, policy=own.version if own else "")

    def _found(self, version: str) -> Iterator[RuleSet]:
        """Yield rules that may be those of a version."""
        for bundle in self._bundles(version):
            with suppress(RuleError):
                yield compiled_bundle(bundle, self.vocabulary(), card_numbers(self._settings))

    def _bundles(self, version: str) -> Iterator[str]:
        """Yield texts that may be those of a version: what is kept under it, what the settings name."""
        with suppress(FraudError):
            yield self._releases.text(version)
        with suppress(RuleError):
            if (bundle := bundle_of(self._settings.rules.file, card_numbers(self._settings))) != NO_RULES:
                yield bundle

    def _policies_there(self) -> Iterator[Policy]:
        own = self._own_policy()
        if own is not None:
            yield own
        try:
            moves = self._releases.moves()
        except FraudError:
            return
        for move in {move.policy: move for move in moves}.values():
            if (policy := self._policy_of(move)) is not None:
                yield policy

    def _policy_of(self, release: Release) -> Policy | None:
        """Return the policy of a release; None where it is not kept, or rests on scores that only a model knows."""
        try:
            return wiring.policy_in(self._releases.text(release.policy)).build()
        except FraudError:
            return None

    def _own_policy(self) -> Policy | None:
        try:
            return self._settings.policy.build()
        except FraudError:
            return None


class SiteReleases:
    """Puts rules in force, with the model and the policy that decide now."""

    def __init__(self, settings: ServiceSettings, releases: Releases, library: SiteLibrary, *, embedded: bool) -> None:
        """Take the settings, who keeps releases, and who is to ask anew after each order.

        An embedded engine makes its histories as it runs.
        """
        self._settings, self._releases, self._library, self._embedded = settings, releases, library, embedded

    def activate(self, order: Order) -> str:
        """Put rules in force, and return the name of the release.

        Raises:
            InvalidError: they have faults, or what decides now cannot be loaded here.
            ConflictError: somebody else was quicker.
        """
        with self._releasing() as put, told_apart():
            rules = need_bundle(order.rules, order.lists)
            made = put.activate(Wanted(rules=rules), Move(order.by, order.now, order.note))
        self._library.ask_anew()
        return made.id

    def rollback(self, release: str, by: str, note: str, now: int) -> str:
        """Put an earlier release in force again, and return its name. Raises as `activate`."""
        with self._releasing() as put, told_apart():
            made = put.again(release, Move(by, now, note))
        self._library.ask_anew()
        return made.id

    def moves(self) -> Sequence[Release]:
        """Return what was put in force, by whomever, the newest last; nothing while nobody answers."""
        try:
            return self._releases.moves()
        except FraudError:
            return ()

    def rules(self, version: str) -> tuple[str, dict[str, str]] | None:
        """Return the rules of a release with their list files by name; None where there are none, or not here."""
        if version == NO_RULES:
            return None
        with suppress(FraudError):
            return parted(self._releases.text(version))
        return None

    @contextmanager
    def _releasing(self) -> Iterator[Releasing]:
        if self._embedded:
            yield Releasing(self._settings, self._releases, NoHistories())
            return
        histories = service_wiring.open_store(self._settings)
        try:
            yield Releasing(self._settings, self._releases, histories)
        finally:
            histories.close()


@contextmanager
def told_apart() -> Iterator[None]:
    """Turn what a release is refused for into what a page says."""
    try:
        yield
    except ReleaseError as error:
        raise ConflictError(str(error)) from error
    except (RuleError, ArtifactError, SettingsError) as error:
        raise InvalidError(str(error)) from error


@contextmanager
def kept_releases(settings: ServiceSettings, *, embedded: bool) -> Iterator[Releases]:
    """Open where releases are kept: the store's, or the folder of an embedded engine."""
    releases: Releases = (
        FolderReleases(Path(settings.paths.releases)) if embedded else release_wiring.open_releases(settings)
    )
    try:
        yield releases
    finally:
        releases.close()
