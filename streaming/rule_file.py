"""Rule files on disk: read, compiled, and taken up again when they change; a faulty change is refused.

Card numbers in a rule file, and in its lists, are exchanged for tokens as they are read: payments are known by tokens.
"""

from pathlib import Path
from threading import Thread

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
        found, folder = {}, self._path.parent
        for name in list_files(text):
            path = folder / name
            try:
                # Of any other file the faults of its lines would be shown: a password, say.
                if not path.resolve().is_relative_to(folder.resolve()) or (path.exists() and not path.is_file()):
                    continue
                text = self._text(path)
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


class Making:
    """Changed rules being read and compiled, beside who goes on with those in use, or at once.

    A list of 200,000 cards takes a third of a second.
    """

    def __init__(self, reading: Reading, vocabulary: Vocabulary, *, beside: bool) -> None:
        """Begin."""
        self.reading, self._vocabulary = reading, vocabulary
        self.rules: RuleSet | None = None
        self.fault: RuleError | None = None
        self._error: Exception | None = None
        self._thread = Thread(target=self._make, daemon=True, name="rules") if beside else None
        if self._thread is not None:
            self._thread.start()
        else:
            self._make()

    @property
    def done(self) -> bool:
        """Tell whether it has ended; raise what nobody foresaw."""
        if self._thread is not None and self._thread.is_alive():
            return False
        if self._error is not None:
            raise self._error
        return True

    def _make(self) -> None:
        try:
            self.rules = self.reading.compiled(self._vocabulary)
        except RuleError as error:
            self.fault = error
        except Exception as error:
            self._error = error


class ReloadingRules:
    """The RuleBook port over a file that may change while the service runs.

    `refresh`, called between batches, looks at times and sizes of the rule file and its list files. A change is taken
    up at the second look that finds the same one, so that a file still being written (an editor empties it first) does
    not leave the service without its block lists. Faulty rules are refused and those in use stay: `refused` counts
    them, `fault` says what is wrong with the file as it stands, `taken` counts the changes taken up.
    """

    def __init__(
        self, path: Path, vocabulary: Vocabulary, cards: CardNumbers = KEYLESS, *, beside: bool = False
    ) -> None:
        """Read the rules; raise RuleError when the first reading fails.

        `beside` compiles changes in a thread, so that no payment waits: they are in use some looks later.
        """
        self._path, self._vocabulary, self._cards = path, vocabulary, cards
        self._beside = beside
        self._making: Making | None = None
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
        if self._making is None:
            stamps = {path: stamp_of(path) for path in self._stamps}
            if stamps == self._stamps:
                return False
            if stamps != self._settling:
                self._settling = stamps
                return False
            self._making = Making(Reading(self._path, self._cards), self._vocabulary, beside=self._beside)
        return self._making.done and self._take_up(self._making)

    def _take_up(self, made: Making) -> bool:
        before, self._making = self._rules.version, None
        self.fault = made.fault
        if made.rules is not None:
            self._rules = made.rules
        else:
            self.refused += 1
        self._stamps = self._settling = made.reading.stamps
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
