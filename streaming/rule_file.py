"""Rule files on disk: read, compiled, and taken up again when they change; a faulty change is refused.

Card numbers in a rule file, and in its lists, are exchanged for tokens as they are read: payments are known by tokens.
"""

from pathlib import Path

from fraud.core.card_numbers import KEYLESS, CardNumbers
from fraud.core.errors import CardNumberError, RuleError
from fraud.core.ports import RuleOutcome
from fraud.core.records import Transaction, Values
from fraud.core.rules.bundle import need_bundle, parted, text_hash
from fraud.core.rules.ruleset import RuleSet, compile_rules, list_files
from fraud.core.rules.vocabulary import Vocabulary

DEFAULT = Path(__file__).parent / "rules" / "default.fr"

NAMELESS = "rules.fr"
"""What faults call a rule file that has no name any more."""

Stamp = tuple[int, int, int, int] | None
"""Times of change of content and of inode (ns), size, inode; None for a file that is not there."""


class Reading:
    """One look at a rule file and the list files beside it, each stamped before it is read.

    A file that changes while it is read so has an old stamp, and the next look finds the change.
    """

    def __init__(self, path: Path, cards: CardNumbers = KEYLESS) -> None:
        """Read nothing yet."""
        self._path, self._cards = path, cards
        self.stamps: dict[Path, Stamp] = {}

    def compiled(self, vocabulary: Vocabulary) -> RuleSet:
        """Return the compiled rules; raise RuleError when the file cannot be read, or has faults."""
        text, files = self.texts()
        return compile_rules(text, vocabulary, self._path.name, files)

    def texts(self) -> tuple[str, dict[str, str]]:
        """Return the file and its list files by name; raise RuleError when it cannot be read."""
        try:
            text = self._text(self._path)
        except (OSError, ValueError) as error:
            msg = (
                f"rules {self._path} cannot be read ({error}): expected a text file in UTF-8; see 'fraud rules --help'"
            )
            raise RuleError(msg) from error
        return self._known(self._path.name, text), self._lists(text)

    def _lists(self, text: str) -> dict[str, str]:
        """Return the list files that can be read; for the others the compiler shows where they are named."""
        found = {}
        for name in list_files(text):
            try:
                text = self._text(self._path.parent / name)
            except (OSError, ValueError):
                continue
            found[name] = self._known(name, text)
        return found

    def _known(self, name: str, text: str) -> str:
        """Return the text of a file with cards as payments name them; raise RuleError where a number is refused."""
        try:
            return self._cards.text(text, name)
        except CardNumberError as error:
            raise RuleError(str(error)) from error

    def _text(self, path: Path) -> str:
        self.stamps[path] = stamp_of(path)
        # Editors of some systems begin a file with a byte order mark.
        return path.read_text(encoding="utf-8-sig")


def read_rules(path: Path, vocabulary: Vocabulary, cards: CardNumbers = KEYLESS) -> RuleSet:
    """Return the compiled rules of a file; list files are looked for beside it.

    Raises:
        RuleError: when the file cannot be read, or has faults.
    """
    return Reading(path, cards).compiled(vocabulary)


def read_bundle(path: Path, cards: CardNumbers = KEYLESS) -> str:
    """Return a rule file and its list files as one text, which `compiled_bundle` compiles to the same version.

    Raises:
        RuleError: when the file cannot be read.
    """
    return need_bundle(*Reading(path, cards).texts())


def compiled_bundle(bundle: str, vocabulary: Vocabulary, cards: CardNumbers = KEYLESS) -> RuleSet:
    """Return the compiled rules of a bundle, under its own version though its tokens may be of an earlier key.

    Raises:
        RuleError: when they have faults.
    """
    text, files = parted(cards.brought_up(bundle))
    return compile_rules(text, vocabulary, NAMELESS, files, version=text_hash(bundle))


class ReloadingRules:
    """The RuleBook port over a file that may change while the service runs.

    `refresh`, called between batches, looks at times and sizes of the rule file and its list files. A change is taken
    up at the second look that finds the same one, so that a file still being written (an editor empties it first) does
    not leave the service without its block lists. Faulty rules are refused and those in use stay: `refused` counts
    them, `fault` says what is wrong with the file as it stands, `taken` counts the changes taken up.
    """

    def __init__(self, path: Path, vocabulary: Vocabulary, cards: CardNumbers = KEYLESS) -> None:
        """Read the rules; raise RuleError when the first reading fails."""
        self._path, self._vocabulary, self._cards = path, vocabulary, cards
        reading = Reading(path, cards)
        self._rules = reading.compiled(vocabulary)
        self._stamps = self._settling = reading.stamps
        self.taken = self.refused = 0
        self.fault: RuleError | None = None

    @property
    def version(self) -> str:
        """Return the version of the rules in use."""
        return self._rules.version

    def judge(self, tx: Transaction, values: Values) -> RuleOutcome:
        """Return what the rules in use say."""
        return self._rules.judge(tx, values)

    def refresh(self) -> bool:
        """Take up changed files that have settled; return whether the rules in use changed."""
        stamps = {path: stamp_of(path) for path in self._stamps}
        if stamps == self._stamps:
            return False
        if stamps != self._settling:
            self._settling = stamps
            return False
        return self._take_up()

    def _take_up(self) -> bool:
        before, reading = self._rules.version, Reading(self._path, self._cards)
        try:
            self._rules, self.fault = reading.compiled(self._vocabulary), None
        except RuleError as error:
            self.refused, self.fault = self.refused + 1, error
        self._stamps = self._settling = reading.stamps
        changed = self._rules.version != before
        self.taken += changed
        return changed


def stamp_of(path: Path) -> Stamp:
    """Return what changes when a file does; its time of change alone can be set back by a copy."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
