"""What commands that fit have in common."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraud.cli import output
from fraud.cli.vectors import histories
from fraud.core.errors import FraudError, SettingsError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fraud.training.booster import BoosterSettings
    from fraud.training.checkpoints import Place
    from fraud.training.cost import Forecast
    from fraud.training.dataset import Dataset
    from fraud.training.fitting import FitRequest
    from streaming.settings import ServiceSettings

KINDS = ("booster", "network", "blend")


def asked_for(
    kind: str, found: "ServiceSettings", set_: "Iterable[str] | None", seed: int, data: "Dataset", cache: Path,
    *, quick: bool,
) -> "FitRequest":  # fmt: skip
    """Return what is to be fitted: settings, and for a network the histories it reads."""
    from fraud.training import settings
    from fraud.training.fitting import FitRequest

    tables = settings.merged(settings.tables_of(found.train), set_ or ())
    if kind == settings.BOOSTER:
        return FitRequest(settings.booster(seed, quick=quick, tables=tables))
    return FitRequest(settings.blend(seed, quick=quick, tables=tables), histories(data, cache))


def place_of(folder: Path, settings: Any, resume: bool) -> "Place":
    """Return where a fit keeps what it leaves; without `resume` nothing that lies there is used."""
    from fraud.training.checkpoints import Place

    place = Place(folder, settings)
    if not resume:
        place.forget()
    return place


def announce(cost: "Forecast") -> None:
    """Say what a fit will cost, and warn when the memory is not there."""
    output.say(f"fit: {cost.said}")
    if (free := free_bytes()) and cost.bytes > free:
        output.say(
            f"only {free / 2**30:.1f} GiB of memory are free: --set network.easy_share=0.01 takes less, "
            "and so does a shorter history"
        )


def free_bytes() -> int:
    """Return the memory that can be had, 0 where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    held = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(held.get("MemAvailable", "0").split()[0]) * 1024


def bar(what: str, cost: "Forecast", asked: "FitRequest", times: int = 1) -> "Bar":
    """Return a progress bar in what a fit counts by: rows learned from, or trees."""
    total, unit = (cost.learned, "rows") if cost.learned else (getattr(asked.settings, "trees", 1_000), "trees")
    return Bar(output.progress(what, total * times, unit), total)


class Bar:
    """A progress bar told by shares of a fit; fits before it may have filled part of it."""

    def __init__(self, progress: Any, total: int) -> None:
        """Take the bar, not yet shown, and what one fit adds to it."""
        self._progress, self._total, self._before = progress, total, 0

    def __enter__(self) -> "Bar":
        """Show it."""
        self._step = self._progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Take it away."""
        self._progress.__exit__(*error)

    def __call__(self, share: float, note: str) -> None:
        """Say how much of the fit under way is done."""
        self._step(self._before + int(share * self._total), note)

    def next(self) -> None:
        """Begin another fit."""
        self._before += self._total


def booster_settings(seed: int, *, quick: bool) -> "BoosterSettings":
    """Return the settings of a booster's fit."""
    from fraud.training import settings

    return settings.booster(seed, quick=quick)


def told(result: dict[str, Any]) -> str:
    """Return measures in a line."""
    return " ".join(
        f"{name} {result[name]:.4f}"
        for name in ("ap", "auc", "cp100", "recall_at_1pct")
        if result.get(name) is not None
    )


def require(value: str, known: tuple[str, ...], what: str) -> None:
    """Raise SettingsError unless `value` is one of `known`."""
    if value not in known:
        msg = f"{what} {value}: expected one of {', '.join(known)}.{nearest(value, known)}"
        raise SettingsError(msg)


def require_torch(*kinds: str) -> None:
    """Raise FraudError when a network is asked for and torch is not installed."""
    if any(kind != "booster" for kind in kinds) and find_spec("torch") is None:
        msg = "A network is fitted with torch, which is not installed: install the extra 'network', as make setup does."
        raise FraudError(msg)
