"""What became of the rows of a file: read, rejected and why, unlabelled, odd but read all the same."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fraud.core.records import Reject

LABEL, KIND, CHANNEL, EARLY, NEVER, DAMAGED = "label", "kind", "channel", "early", "never", "damaged"
OWN = "attrs"
MOST = 5
"""Values named of one sort."""

SENTENCES = {
    LABEL: "{n:,} labels are not understood and count as none: {values}; say in the mapping's [label] what they mean",
    KIND: "{n:,} kinds are not known and count as payments: {values}; say in the mapping's [kind] what they mean",
    CHANNEL: "{n:,} channels are not known and left out: {values}; say in the mapping's [channel] what they mean",
    EARLY: "{n:,} verdicts are said to be known before their own payment ({values}): these times are not used",
    NEVER: "{n:,} verdicts have a time without end ({values}) and count as not known",
    DAMAGED: "{n:,} ids were rounded by a spreadsheet, so different ones may now be one: {values}; export them as text",
    OWN: "{n:,} values of own columns cannot be and count as missing: {values}; see [attrs] of the mapping",
}


class Account:
    """Counts over the rows of a file: `read` in all, `unlabelled` of the payments, `rejects` by code."""

    def __init__(self) -> None:
        """Start with none."""
        self.read = self.unlabelled = 0
        self.rejects: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self._odd: dict[str, Counter[str]] = {}

    def add(self, sort: str, value: str, rows: int = 1) -> None:
        """Count rows that are odd in one way."""
        self._odd.setdefault(sort, Counter())[value] += rows

    def take(self, verdicts: Sequence[Any], odd: Iterable[tuple[str, str, int]] = ()) -> None:
        """Count payments by their verdicts, and what is odd in them: sort, value, rows."""
        self.read += len(verdicts)
        self.unlabelled += sum(verdict is None for verdict in verdicts)
        for sort, value, rows in odd:
            self.add(sort, value, rows)

    def refuse(self, reject: Reject) -> None:
        """Count a row that cannot be used; the first of each code is kept as an example."""
        self.read += 1
        self.rejects[reject.code] += 1
        self.examples.setdefault(reject.code, f"{reject.position.topic} {reject.reason}")

    @property
    def mostly_rejects(self) -> bool:
        """Tell whether more than half of the rows cannot be used."""
        return 2 * self.rejects.total() > self.read

    def odd(self) -> dict[str, dict[str, int]]:
        """Return rows by sort and value, the most frequent first."""
        return {sort: dict(counts.most_common()) for sort, counts in sorted(self._odd.items())}

    def figures(self) -> dict[str, Any]:
        """Return what a command's last line says of its file."""
        return {"read": self.read, "rejects": dict(self.rejects.most_common()), "unlabelled": self.unlabelled}

    def sentences(self) -> list[str]:
        """Return what to tell, a line each: rows, rejects with an example a code, what was odd and what to do."""
        said = [
            f"{self.read:,} rows read, {self.rejects.total():,} of them rejected, {self.unlabelled:,} without a label"
        ]
        said += [f"rejected for {code}: {n:,}, as {self.examples[code]}" for code, n in self.rejects.most_common()]
        return said + [
            SENTENCES[sort].format(n=sum(counts.values()), values=named(counts)) for sort, counts in self.odd().items()
        ]

    def snapshot(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "read": self.read, "unlabelled": self.unlabelled, "rejects": dict(self.rejects),
            "examples": self.examples, "odd": self.odd(),
        }  # fmt: skip

    @classmethod
    def restored(cls, snapshot: Mapping[str, Any]) -> "Account":
        """Return an account as it was."""
        made = cls()
        made.read, made.unlabelled = snapshot.get("read", 0), snapshot.get("unlabelled", 0)
        made.rejects, made.examples = Counter(snapshot.get("rejects", {})), dict(snapshot.get("examples", {}))
        made._odd = {sort: Counter(counts) for sort, counts in snapshot.get("odd", {}).items()}
        return made


def named(counts: Mapping[str, int]) -> str:
    """Return the most frequent values with their numbers."""
    first = [f"'{value}' {rows:,}" for value, rows in list(counts.items())[:MOST]]
    return ", ".join([*first, f"{len(counts) - MOST:,} others"] if len(counts) > MOST else first)
