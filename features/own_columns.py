"""Own columns of the vector: numbers as a message gives them, expressions over them, hashes of words; no state."""

from typing import Any

import numpy as np

from features.spec import spec
from features.state.vector import EPOCH_WEEKDAY
from fraud.core.attributes.algebra import AMOUNT, HOUR, WEEKDAY
from fraud.core.attributes.declaration import Declaration
from fraud.core.attributes.values import MISSING, MOST_NUMBER, number_of, word_hash, word_of
from fraud.core.records import DAY, Transaction, Values
from fraud.core.records import HOUR as HOUR_NS


class OwnColumns:
    """Fills the own columns of a declaration, in the order of its spec: numbers, expressions, categories."""

    def __init__(self, declared: Declaration, digits: int = 2) -> None:
        """Compile the expressions once; `spec` is that of the whole vector, `digits` are those of the base currency."""
        self._unit = 10**digits
        self.spec = spec(declared)
        self._numbers, self._categories = declared.numbers, declared.categories
        self._expressions = tuple(each.run for each in declared.compiled())
        self.width = len(self._numbers) + len(self._expressions) + len(self._categories)

    def fill(self, tx: Transaction, out: Values) -> None:
        """Fill `out`, float32 (width,), from what a transaction says; NaN where it says nothing that can be used."""
        attrs: dict[str, Any] = tx.attrs or {}
        numbers = {name: number_of(attrs.get(name)) for name in self._numbers}
        cells = [*numbers.values()]
        if self._expressions:
            numbers[AMOUNT] = tx.base_amount / self._unit
            numbers[HOUR] = tx.happened_at % DAY / HOUR_NS
            numbers[WEEKDAY] = float((tx.happened_at // DAY + EPOCH_WEEKDAY) % 7)
            cells += [bounded(run(numbers, attrs)) for run in self._expressions]
        for name in self._categories:
            word = word_of(attrs.get(name))
            cells.append(word_hash(word) if word else MISSING)
        out[:] = np.array(cells, np.float64)


def bounded(value: float) -> float:
    """Return a number that a float32 holds, NaN for any other."""
    return value if -MOST_NUMBER <= value <= MOST_NUMBER else MISSING
