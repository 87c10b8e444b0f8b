"""Rule files on disk: read, compiled, and taken up again when they change; a faulty change is refused."""

from collections.abc import Sequence
from pathlib import Path

from fraud.core.errors import RuleError
from fraud.core.ports import RuleOutcome
from fraud.core.records import Transaction, Values
from fraud.core.rules.ruleset import RuleSet, compile_rules, list_files
from fraud.core.rules.vocabulary import Vocabulary

DEFAULT = Path(__file__).parent / "rules" / "default.fr"

Stamp = tuple[tuple[str, int, int], ...]


def read_rules(path: Path, vocabulary: Vocabulary) -> RuleSet:
    """Return the compiled rules of a file; list files are looked for beside it.

    Raises:
        RuleError: when the file cannot be read, or has faults.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"rules {path} cannot be read ({error}): expected a text file; see 'fraud rules --help'"
        raise RuleError(msg) from error
    files = {}
    for name in list_files(text):
        listed = path.parent / name
        if listed.is_file():
            files[name] = listed.read_text(encoding="utf-8", errors="replace")
    return compile_rules(text, vocabulary, path.name, files)


class HotRules:
    """The RuleBook port over a file that may change while the service runs.

    `refresh`, called between batches, looks at times and sizes only; a changed file is compiled, and replaces the rules
    in use unless it has faults. `refused` counts faulty changes and `fault` says what was wrong with the last one.
    """

    def __init__(self, path: Path, vocabulary: Vocabulary) -> None:
        """Read the rules; raise RuleError when the first reading fails."""
        self._path, self._vocabulary = path, vocabulary
        self._rules = read_rules(path, vocabulary)
        self._stamp = self._look()
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
        """Take up a changed file; return whether the rules in use changed."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        before = self._rules.version
        try:
            self._rules = read_rules(self._path, self._vocabulary)
        except RuleError as error:
            self.refused, self.fault = self.refused + 1, error
            return False
        self.fault = None
        self.taken += self._rules.version != before
        return self._rules.version != before

    def _look(self) -> Stamp:
        paths = [self._path]
        try:
            names = list_files(self._path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            names = []
        paths += [self._path.parent / name for name in names]
        return tuple(stamp for path in paths for stamp in stamp_of(path))


def stamp_of(path: Path) -> Sequence[tuple[str, int, int]]:
    """Return name, time of change (ns) and size of a file; nothing when it is not there."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return ((str(path), found.st_mtime_ns, found.st_size),)
