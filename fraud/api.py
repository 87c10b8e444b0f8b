"""The product from Python: read a file, extract features, score, explain and evaluate, as the commands do it.

Tables are pandas DataFrames (extra `train`). `docs/api.md` shows all of it. Nothing here reads a clock: times are those
of the payments, UTC.
"""

from collections.abc import Iterable, Mapping, Sized
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from fraud.core.errors import DataError, FraudError, SettingsError
from fraud.core.fields import Duration
from fraud.core.records import Answer, Decision, Level, Position, Reason, Reject, Score
from fraud.training import extraction, protocols
from fraud.training import settings as fits
from fraud.training.dataset import UNKNOWN, Dataset, ids_of
from fraud.training.evaluation import Evaluation
from fraud.training.fitting import FitRequest
from streaming import wiring
from streaming.files.values.account import Account
from streaming.messages.times import from_text
from streaming.replay.history import ordered
from streaming.settings import ServiceSettings, changed, read_settings

if TYPE_CHECKING:
    import pandas as pd

CACHE, RUNS = Path("build/cache"), Path("build/runs")
Payment = Mapping[str, Any]
"""A payment as a message of topic `transactions` has it: `amount` in minor units of `currency`."""
PAYMENT = (
    "id", "card", "merchant", "amount", "happened_at", "version", "kind", "device", "currency", "channel", "mcc",
    "text", "attrs",
)  # fmt: skip
"""The fields of a payment."""

__all__ = ["Scorer", "evaluate", "features", "read"]


def read(data: str | Path, mapping: str = "native", settings: str | Path | None = None) -> "pd.DataFrame":
    """Read a file of payments by a mapping: a row a payment, in order of time.

    Args:
        data: a file, a folder or a pattern, as `fraud replay --data` takes it.
        mapping: a mapping's name, or the path of a TOML file.
        settings: a TOML file of settings; `fraud.toml` of the current folder where there is one.

    Returns:
        The payments as `Scorer.score` takes them, with `happened_at` as UTC time, `base_amount` in minor units of the
        base currency, and `fraud` (True, False or missing). `attrs["account"]` of the table counts rows read, rejects
        by code and rows without a label; `attrs["said"]` says so in words.

    Raises:
        DataError: when the file cannot be read, or holds no payment.
        MappingError: when the mapping is wrong, or the file lacks a column that it names.
    """
    pd = _pandas()
    found = wiring.under(_settings(settings), mapping)
    table = extraction.ExtractionRequest(Path(data), mapping, None, found).table()
    rows = [row for row in ordered(table.rows()) if not isinstance(row, Reject)]
    _require_payments(rows, table.account)
    made = pd.DataFrame([{name: getattr(row.tx, name) for name in (*PAYMENT, "base_amount")} for row in rows])
    made["kind"] = made["kind"].astype(str)
    made["happened_at"] = pd.to_datetime(made["happened_at"], utc=True)
    made["fraud"] = pd.array([None if row.verdict is None else row.verdict == "fraud" for row in rows], "boolean")
    made.attrs.update(account=table.account.figures(), said=table.account.sentences())
    return made


def features(
    data: str | Path,
    mapping: str = "native",
    label_delay: str = "7d",
    settings: str | Path | None = None,
    cache: str | Path = CACHE,
) -> "pd.DataFrame":
    """Extract what a model is fitted on: a row a payment, as the live path would have seen it.

    Args:
        data: a file, a folder or a pattern.
        mapping: a mapping's name, or the path of a TOML file.
        label_delay: how long after a payment its verdict is known to features, `7d`, `1h`, or `none`.
        settings: a TOML file of settings.
        cache: where vectors are kept; a second call with the same inputs reads them.

    Returns:
        The features (float32, NaN where nothing is known) by name, index `tx_id`, behind `happened_at` (UTC) and
        `fraud` (True, False or missing). `attrs["account"]` as `read` has it.

    Raises:
        DataError, MappingError: as `read`; SettingsError for a label delay that is none.
    """
    pd = _pandas()
    held = _extracted(data, mapping, label_delay, _settings(settings), Path(cache))
    made = pd.DataFrame(np.asarray(held.matrix), columns=list(held.names), index=ids_of(held, Path(cache)))
    made.index.name = "tx_id"
    made.insert(0, "happened_at", pd.to_datetime(held.time, utc=True))
    fraud = [None if value == UNKNOWN else bool(value) for value in held.fraud.tolist()]
    made.insert(1, "fraud", pd.array(fraud, "boolean"))
    made.attrs.update(account=Account.restored(held.meta.account).figures())
    return made


def evaluate(
    data: str | Path,
    mapping: str = "native",
    label_delay: str = "7d",
    split: float = 0.85,
    settings: str | Path | None = None,
    cache: str | Path = CACHE,
    runs: str | Path = RUNS,
    seed: int = 0,
    *,
    quick: bool = False,
) -> dict[str, Any]:
    """Train a booster on what was known at a split in time and test it on what came after.

    Args:
        data: a file, a folder or a pattern.
        mapping: a mapping's name, or the path of a TOML file.
        label_delay: how long after a payment its verdict is known.
        split: learn before this time quantile.
        settings: a TOML file of settings.
        cache: where vectors are kept.
        runs: where fits under way are kept.
        seed: the fit is a function of data, settings and this number.
        quick: few trees, for a first look.

    Returns:
        What `fraud evaluate --protocol chronological --json` has for the booster: `mean` holds average precision,
        area under the ROC curve, card precision at 100 a day, and recall of a 1 % alert budget, None where undefined.

    Raises:
        DataError: when the file cannot be read, or leaves nothing to learn from or to test on.
        SettingsError: when a setting is wrong.
    """
    found = _settings(settings)
    held = _extracted(data, mapping, label_delay, found, Path(cache))
    tables = fits.merged(fits.tables_of(found.train), ())
    request = FitRequest(fits.of_kind(fits.BOOSTER, seed, quick=quick, tables=tables), None)
    folds = protocols.folds(held, protocols.CHRONOLOGICAL, split, protocols.TRAIN[0])
    made = Evaluation(held, folds, request, Path(runs), resume=False).run([seed], [fits.BOOSTER])
    result: dict[str, Any] = made["models"][fits.BOOSTER]
    return {**result, **Account.restored(held.meta.account).figures()}


class Scorer:
    """A model behind the live engine, in this process: payments are decided in their order, and remembered.

    The same payments in the same order give what `fraud replay` gives. Each payment adds to the state, as on the live
    path, so what a payment's score is depends on those before it.
    """

    def __init__(
        self,
        model: str = "demo",
        models: str | Path | None = None,
        settings: str | Path | None = None,
        mapping: str | None = None,
    ) -> None:
        """Take a model's name (or NAME@VERSION) and the folder of trained models, `build/models` unless given.

        `mapping` is that of the payments where it declares own columns, which the model then may read.

        Raises:
            ArtifactError: when there is no such model, or it does not fit this release.
        """
        found = _settings(settings) if mapping is None else wiring.under(_settings(settings), mapping)
        chosen = changed(found, "model", name=model, folder=None if models is None else Path(models))
        self._names = wiring.spec_of(chosen).names
        self._engine = wiring.build(chosen).engine
        self._codec = wiring.codec(chosen)
        self._answers: dict[str, Answer] = {}
        self._numbers = count()

    def score(self, payment: Payment) -> Decision:
        """Decide on one payment, seen when it happened.

        Raises:
            DataError: when it cannot be a payment; the message names the field and the repair.
        """
        answer = self._decided(payment)
        return answer.decision

    def score_many(self, payments: "pd.DataFrame | Iterable[Payment]") -> "pd.DataFrame":
        """Decide on payments in order of time: those of `read`, or any; return a row a payment.

        The table has index `tx_id`, and columns `score`, `action`, `reasons` (codes, of what is held only) and `level`.

        Raises:
            DataError: at the first that cannot be a payment; those before it are remembered.
        """
        pd = _pandas()
        made = [self.score(payment) for payment in (_rows(payments) if hasattr(payments, "columns") else payments)]
        rows = [(one.score, str(one.action), [r.code for r in one.reasons], str(one.level)) for one in made]
        index = pd.Index([one.tx_id for one in made], name="tx_id")
        return pd.DataFrame(rows, columns=["score", "action", "reasons", "level"], index=index)

    def explain(self, tx_id: str) -> tuple[Reason, ...]:
        """Return why a payment that was scored here got its score, strongest reason first; maybe none.

        What was held is told by its own reasons. Of what was approved the model is asked now, without its histories.

        Raises:
            DataError: when no such payment was scored here.
        """
        answer = self._answer(tx_id)
        decision = answer.decision
        if decision.reasons or answer.vector is None or decision.model_score is None:
            return decision.reasons
        version = decision.versions.model
        score = Score(tx_id, decision.model_score, version, Level(decision.level), decision.parts)
        return self._engine.strategy.scorer.explain(answer.vector.values, score).reasons

    def vector(self, tx_id: str) -> dict[str, float]:
        """Return the features that a payment was scored by, by name, NaN where nothing was known.

        Raises:
            DataError: when no such payment was scored here.
        """
        answer = self._answer(tx_id)
        if answer.vector is None:
            raise _not_scored(tx_id)
        return dict(zip(self._names, answer.vector.values.tolist(), strict=True))

    def _answer(self, tx_id: str) -> Answer:
        if (answer := self._answers.get(tx_id)) is None:
            raise _not_scored(tx_id)
        return answer

    def _decided(self, payment: Payment) -> Answer:
        instant = _instant(payment)
        sent = {**payment, "happened_at": instant}
        message = msgspec.json.encode({key: value for key, value in sent.items() if value is not None})
        arrival = self._codec.transaction(message, Position("api", 0, next(self._numbers)), _seen(instant))
        if isinstance(arrival, Reject):
            raise DataError(arrival.reason)
        (answer,) = self._engine.handle([arrival])
        self._answers[answer.decision.tx_id] = answer
        return answer


def _not_scored(tx_id: str) -> DataError:
    return DataError(f"'{tx_id}' was not scored here: give its payment to score first")


def _instant(payment: Payment) -> Any:
    """Return when a payment happened as a message says it: times of pandas, numpy and Python in UTC nanoseconds.

    Raises:
        DataError: for a time without a zone.
    """
    sent = payment.get("happened_at")
    if isinstance(sent, np.datetime64):
        return int(sent.astype("datetime64[ns]").astype(np.int64))
    if not isinstance(sent, datetime):  # pandas' own times are such, with nanoseconds
        return sent
    if sent.utcoffset() is None:
        msg = f"happened_at is {sent}, without a zone: expected one, as in 2026-01-31T12:00:00Z"
        raise DataError(msg)
    whole, nanosecond = sent.replace(microsecond=0), getattr(sent, "nanosecond", 0)
    return int(whole.timestamp()) * 10**9 + sent.microsecond * 1_000 + nanosecond


def _seen(instant: Any) -> int:
    """Return when a payment is seen: when it happened; 0 for what is no time, which the decoder then refuses."""
    try:
        return from_text(instant) if isinstance(instant, str) else int(instant or 0)
    except (ValueError, TypeError, OverflowError):
        return 0


def _rows(table: "pd.DataFrame") -> Iterable[Payment]:
    """Yield the payments of a table, in order of time; missing cells are left out, columns of other names not sent."""
    names = [name for name in PAYMENT if name in table.columns]
    for row in table.sort_values("happened_at", kind="stable")[names].itertuples(index=False):
        yield {name: cell for name, cell in zip(names, row, strict=True) if cell is not None and cell == cell}


def _settings(file: str | Path | None) -> ServiceSettings:
    return read_settings(None if file is None else Path(file))


def _extracted(data: str | Path, mapping: str, label_delay: str, settings: ServiceSettings, cache: Path) -> Dataset:
    try:
        delay = None if label_delay == "none" else int(Duration.parse(label_delay))
    except ValueError as error:
        msg = f"label_delay: {error}, or 'none'"
        raise SettingsError(msg) from error
    held = extraction.extracted(extraction.ExtractionRequest(Path(data), mapping, delay, settings), cache)
    _require_payments(held.time, Account.restored(held.meta.account))
    return held


def _require_payments(rows: Sized, account: Account) -> None:
    """Raise DataError where a file holds no payment, or more rows that cannot be used than such as can."""
    if len(rows) and not account.mostly_rejects:
        return
    why = "; ".join(account.sentences())
    msg = f"most rows cannot be used, so the rest is not taken: {why}; mend the mapping or the file"
    raise DataError(msg if len(rows) or account.read else "the file holds no payment: expected rows under its header")


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        msg = (
            "Tables are pandas DataFrames, and pandas is not installed: install the extra 'train', as make setup does."
        )
        raise FraudError(msg) from error
    return pandas
