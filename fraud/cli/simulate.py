"""`fraud simulate`: card-payment traffic with fraud, to a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraud.cli import output
from fraud.core.errors import SettingsError

if TYPE_CHECKING:
    from fraud.simulate import Traffic


def simulate(
    out: Annotated[Path | None, typer.Option(help="Write here: .parquet, .csv or .jsonl.")] = None,
    stream: Annotated[str, typer.Option(help="Which traffic; --list names them.")] = "fdh",
    cards: Annotated[int | None, typer.Option(min=1, help="Number of cards.")] = None,
    days: Annotated[int | None, typer.Option(help="Number of days.")] = None,
    seed: Annotated[int, typer.Option(help="The traffic is a function of this number.")] = 0,
    more: Annotated[
        list[str] | None, typer.Option("--set", help="A parameter of the stream, as name=value; --list names them.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Say what traffic there is, and end.")] = False,
    labels_out: Annotated[
        Path | None, typer.Option(help="Write the labels here, for fraud replay --labels: .parquet, .csv or .jsonl.")
    ] = None,
    mapping_example: Annotated[
        bool, typer.Option("--mapping-example", help="Print a mapping with every key explained, and end.")
    ] = False,
) -> None:
    """Make traffic with known fraud in it, for tests, demonstrations and benchmarks.

    The file's columns are read by the mapping 'native'. `--labels-out` writes each verdict with who gives it, when it
    is given and when it is seen, as the stream has it; fdh has no times for them and tells every verdict at once.
    Streams that know the best score of every payment write it as the column 'optimum', which nothing reads, and print
    its average precision: no model can do better.
    """
    if mapping_example:
        from streaming.files.values.mapping import EXAMPLE

        output.show(EXAMPLE)
        return
    from fraud.simulate import registry

    if list_:
        for name, kind in registry.streams().items():
            output.show(f"{name}: {kind.meaning}")
            for parameter, meaning in kind.parameters.items():
                output.show(f"    {parameter:<16} {meaning} (default {kind.defaults.get(parameter)})")
        return
    if out is None:
        msg = "fraud simulate: expected --out FILE (.parquet, .csv or .jsonl)"
        raise SettingsError(msg)
    from streaming.files.column_file import write, writer_of

    writer_of(out)
    if labels_out is not None:
        writer_of(labels_out, "--labels-out")
    given = {"cards": cards, "days": days, "seed": seed, **parameters(more or [])}
    traffic = registry.stream(stream).make(**{key: value for key, value in given.items() if value is not None})
    write(out, traffic.columns())
    made = {"rows": len(traffic), "frauds": int(traffic.fraud.sum()), "file": str(out)}
    output.last_line({**made, **told(traffic, labels_out), **best(traffic)})


def told(traffic: "Traffic", path: Path | None) -> dict[str, int | str]:
    """Write the labels where a file is named for them; return how many there are, and where."""
    from streaming.files.column_file import write

    if path is None:
        return {}
    verdicts = traffic.verdicts()
    write(path, verdicts.columns())
    return {"labels": len(verdicts), "labels_file": str(path)}


def best(traffic: "Traffic") -> dict[str, float]:
    """Return average precision of the optimum over all payments, where the stream knows it."""
    from fraud.core.metrics import average_precision

    if traffic.optimum is None or not traffic.fraud.any():
        return {}
    return {"optimum_ap": round(average_precision(traffic.fraud, traffic.optimum), 4)}


def parameters(pairs: list[str]) -> dict[str, float]:
    """Return parameters given as name=value; raise SettingsError for what is not so written."""
    found: dict[str, float] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            found[name] = int(value) if value.lstrip("-").isdigit() else float(value)
        except ValueError as error:
            msg = f"--set {pair}: expected name=number, such as terminals=4000"
            raise SettingsError(msg) from error
    return found
