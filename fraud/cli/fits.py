"""What commands that fit have in common: vectors, what is to be fitted, and how a fit is shown on the terminal."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fraud.cli import options, output
from fraud.core.errors import DataError, FraudError, SettingsError, nearest

if TYPE_CHECKING:
    from fraud.core.settings import Settings
    from fraud.training.cost import Forecast
    from fraud.training.dataset import Dataset
    from fraud.training.fitting import FitRequest
    from streaming.settings import ServiceSettings


def extracted(
    data: Path, mapping: str, label_delay: str, cache: Path, settings: "Settings", *, histories: bool = False,
    spread: float = 0.0,
) -> "Dataset":  # fmt: skip
    """Return the vectors of a history, with a progress bar when they are not in the cache yet."""
    from fraud.training import extraction

    request = extraction.ExtractionRequest(data, mapping, options.label_delay(label_delay, settings), settings, spread)
    made = extraction.extracted(
        request, cache, histories=histories, say=output.say,
        progress=lambda rows: output.progress("extract", rows, "payments"),
    )  # fmt: skip
    told(made, settings.paths.dead)
    return made


def told(data: "Dataset", dead: str) -> None:
    """Say what became of the rows of a file; end here, status 1, where most of them cannot be used."""
    from streaming.files.values.account import Account

    if not data.meta.account:
        return
    account = Account.restored(data.meta.account)
    output.account(account.sentences(), dead)
    for sentence in strays(data):
        output.warn(sentence)
    if account.mostly_rejects:
        output.warn("most rows cannot be used, so nothing is learned from the rest: mend the mapping or the file")
        output.last_line(account.figures())
        raise typer.Exit(1)
    if not data.meta.rows:
        msg = "the file holds no payment: expected rows under its header"
        raise DataError(msg)


def strays(data: "Dataset") -> list[str]:
    """Return what to say of payments that stand apart from all others in time."""
    from fraud.training.dataset import apart
    from streaming.messages.times import to_text

    start, stop = apart(data.time)
    said = "{n} payments {where} the history, as of {when}, stand further from the next one than it is long: nothing "
    said += "is learned from them, nor judged by them; look at their times"
    found = []
    if start:
        found.append(said.format(n=start, where="before", when=to_text(int(data.time[0]))[:10]))
    if stop < len(data.time):
        found.append(said.format(n=len(data.time) - stop, where="after", when=to_text(int(data.time[-1]))[:10]))
    return found


def figures(data: "Dataset") -> dict[str, Any]:
    """Return what a command's last line says of the file that it read."""
    from streaming.files.values.account import Account

    return Account.restored(data.meta.account).figures()


def fit_request(
    kind: str, found: "ServiceSettings", set_: Iterable[str] | None, seed: int, data: "Dataset", cache: Path,
    *, quick: bool,
) -> "FitRequest":  # fmt: skip
    """Return what is to be fitted: settings, and for a network the histories it reads."""
    from fraud.training import extraction, settings
    from fraud.training.fitting import FitRequest

    tables = settings.merged(settings.tables_of(found.train), set_ or ())
    chosen = settings.of_kind(kind, seed, quick=quick, tables=tables)
    return FitRequest(chosen, None if kind == settings.BOOSTER else extraction.histories(data, cache))


def announce(cost: "Forecast") -> None:
    """Say what a fit will cost, and warn when the memory is not there."""
    from fraud.training.cost import free_bytes

    output.say(f"fit: {cost.said}")
    if (free := free_bytes()) and cost.bytes > free:
        output.say(
            f"only {free / 2**30:.1f} GiB of memory are free: --set network.easy_share=0.01 takes less, "
            "and so does a shorter history"
        )


@contextmanager
def bar(what: str, cost: "Forecast", request: "FitRequest", fits: int = 1) -> Iterator[Callable[[float, str], None]]:
    """Show a progress bar that counts as fits do, by rows learned from or by trees; it is told shares of all fits."""
    each, unit = (cost.learned, "rows") if cost.learned else (getattr(request.settings, "trees", 1_000), "trees")
    total = each * fits
    with output.progress(what, total, unit) as step:
        yield lambda share, note: step(int(share * total), note)


def measures(result: dict[str, Any]) -> str:
    """Return measures in a line."""
    return " ".join(
        f"{name} {result[name]:.4f}"
        for name in ("ap", "auc", "cp100", "recall_at_1pct")
        if result.get(name) is not None
    )


def require_kinds(kinds: Iterable[str], what: str) -> None:
    """Raise SettingsError for a kind of model that does not exist, FraudError when torch is missing for one."""
    from fraud.training.settings import BOOSTER, KINDS

    for kind in kinds:
        require(kind, KINDS, what)
    if any(kind != BOOSTER for kind in kinds) and find_spec("torch") is None:
        msg = "A network is fitted with torch, which is not installed: install the extra 'network', as make setup does."
        raise FraudError(msg)


def require(value: str, known: tuple[str, ...], what: str) -> None:
    """Raise SettingsError unless `value` is one of `known`."""
    if value not in known:
        msg = f"{what} {value}: expected one of {', '.join(known)}.{nearest(value, known)}"
        raise SettingsError(msg)
