"""`fraud evaluate --protocol prequential --learn`: a frozen model against what is learned, on a file."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from rich.table import Table

from fraud.cli import fits, options, output
from fraud.core.errors import SettingsError
from fraud.core.fields import Duration

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streaming.settings import ServiceSettings

PREQUENTIAL = "prequential"
NAME = "base"
ROWS = (("log-loss", "log_loss", 5), ("AP, all weeks pooled", "pooled", 4), ("slope of calibration", "slope", 3),
        ("top 1 %: mean p / fraud share", "top_1pct", 3))  # fmt: skip


class Asked(NamedTuple):
    """What is to be evaluated: the file, where its labels come from, and the base, fitted or kept."""

    data: Path
    mapping: str
    label_delay: str
    labels: Path | None
    kind: str
    models_from: str | None
    split: float
    settings: Path | None
    set_: list[str] | None
    cache: Path
    runs: Path
    seed: int
    quick: bool
    plots: Path | None
    every: str | None


def evaluate(asked: Asked, *, learn: bool, json: bool) -> dict[str, Any]:
    """Decide a file through the live engine, learning on the way; return the last line.

    Raises:
        SettingsError: without `learn`.
    """
    from fraud.training import prequential as figures
    from streaming import wiring
    from streaming.files.labels import LabelFile
    from streaming.replay.job import Request
    from streaming.settings import changed

    if not learn:
        msg = "--protocol prequential compares a frozen model with one that learns: give --learn too"
        raise SettingsError(msg)
    found = changed(options.settings(asked.settings, learn=True), "refresh", every=period(asked.every))
    delay = None if asked.labels is not None else options.label_delay(asked.label_delay, found)
    request = Request(
        data=asked.data, mapping=asked.mapping, delay=delay, out=None, state=None, every=0, settings=found,
        labels=asked.labels,
    )  # fmt: skip
    said = None if asked.labels is None else LabelFile(asked.labels)
    truth = figures.truths(wiring.table(request).rows(), delay, said)
    ready = figures.ready_at(truth, asked.split)
    based = changed(found, "model", name=asked.models_from) if asked.models_from else fitted(asked, found, ready)
    collected = figures.Collected()
    job = wiring.replay(msgspec.structs.replace(request, settings=based, rules_until=ready), collected)
    if asked.models_from and (warning := seen(asked, job.scorer, truth.times, ready)):
        output.say(f"warning: {warning}")
    with output.progress("decide and learn", job.total) as step:
        result = job.run(step)
    served = collected.decided(truth)
    report = {**figures.report(served), **learned(job.learning.figures() if job.learning else {}, result)}
    if asked.plots is not None:
        from fraud.training import plots

        for path in plots.draw_prequential(asked.plots, served):
            output.say(f"drawn: {path}")
    if not json:
        output.out.print(side_by_side(report))
    output.account(job.account.sentences(), found.paths.dead)
    return {"protocol": PREQUENTIAL, "model": job.scorer.version, **report, **job.account.figures()}


def period(text: str | None) -> Duration | None:
    """Return a refresh period; raise SettingsError for what is none."""
    try:
        return None if text is None else Duration.parse(text)
    except ValueError as error:
        msg = f"--every: {error}"
        raise SettingsError(msg) from error


def seen(asked: Asked, scorer: Any, times: "NDArray[np.int64]", ready: int) -> str:
    """Return what is to be said of a kept model that may have seen payments which it is judged by; "" for nothing.

    Judged are payments from `ready` (ns) on; `times` are those of the whole file.

    Raises:
        SettingsError: when its card says that it was fitted on some of them.
    """
    from streaming.files.table import file_hash
    from streaming.messages.times import to_text

    if (card := getattr(scorer, "card", None)) is None:
        return ""
    if not card.until:
        return (
            f"the card of {scorer.version} does not say how far the payments reach that it was fitted on: where some "
            "of them are judged here, these figures are too good"
        )
    if card.until < ready:
        return ""
    known = f"{scorer.version} was fitted on payments until {to_text(card.until)}"
    if file_hash(asked.data) != card.data_hash:
        return (
            f"{known} of another file, and is judged by payments from {to_text(ready)} on: where both are the same "
            "payments, these figures are too good"
        )
    share = int((times <= card.until).sum()) / max(len(times) - 1, 1)  # as `ready_at` reckons
    other = f"take --split {math.ceil(share * 1e4) / 1e4:g} or more, or leave" if share < 1 else "leave"
    msg = (
        f"--models-from {asked.models_from}: {known} of this file, and --split {asked.split:g} judges it by those from "
        f"{to_text(ready)} on, {int(((times >= ready) & (times <= card.until)).sum()):,} of which it has seen; {other} "
        "out --models-from, and a model is fitted on what was known by then"
    )
    raise SettingsError(msg)


def fitted(asked: Asked, found: "ServiceSettings", ready: int) -> "ServiceSettings":
    """Fit a base on what was known at `ready` (ns); return the settings with it."""
    from fraud.training import cost, train
    from fraud.training.settings import BOOSTER
    from streaming import clock
    from streaming.settings import changed

    data = fits.extracted(
        asked.data, asked.mapping, asked.label_delay, asked.cache, found, histories=asked.kind != BOOSTER
    )
    request = fits.fit_request(asked.kind, found, asked.set_, asked.seed, data, asked.cache, quick=asked.quick)
    forecast = cost.forecast(data, train.usual_slices(data, asked.kind, ready), request)
    fits.announce(forecast)
    folder = asked.runs / PREQUENTIAL
    with fits.bar("fit the base", forecast, request) as step:
        train.train(data, folder, NAME, clock.now_ns(), asked.kind, request, step, ready=ready)
    return changed(found, "model", name=NAME, folder=folder)


def learned(figures: Mapping[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """Return what gate and guard did, and the counts of the replay."""
    counts = figures.get("counts", {})
    gate = {
        "alarms": counts.get("alarm", 0), "held": figures.get("held", {}), "waited": counts.get("waited", 0),
        "unjudged": figures.get("unjudged", 0),
    }  # fmt: skip
    guard = {name: figures.get(name) for name in ("on", "switches", "evidence", "enough")}
    guard |= {"cut": counts.get("cut", 0), "refused": counts.get("refused", 0)}
    done = {name: result[name] for name in ("refreshes", "promoted", "reverted", "held", "seconds", "labels")}
    return {"gate": gate, "guard": guard, "learned": figures.get("learned", {}), **done}


def side_by_side(report: dict[str, Any]) -> Table:
    """Return the figures, frozen and refreshed."""
    table = Table("", "frozen", "refreshed", "difference")
    low, high = report["interval"]
    frozen, gain = report["frozen"], report["gain"]
    if gain is not None:
        more = f"{gain:+.4f} [{low:+.4f}, {high:+.4f}]"
        table.add_row("AP, mean over weeks", f"{frozen:.4f}", f"{frozen + gain:.4f}", more)
    for name, key, digits in ROWS:
        one, other = report[key]
        if one is not None and other is not None:
            table.add_row(name, f"{one:.{digits}f}", f"{other:.{digits}f}", f"{other - one:+.{digits}f}")
    for what, label in (("ap", "AP as known at the end"), ("fraud_share", "fraud share as known")):
        for how in ("naive", "corrected"):
            pair = [report["as_known"][kind][f"{what}_{how}"] for kind in ("frozen", "refreshed")]
            table.add_row(f"{label}, {how}", *("-" if one is None else f"{one:.4f}" for one in pair), "")
    return table
