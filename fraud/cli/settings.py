"""`fraud settings`: every setting with its value, unit and meaning."""

from typing import Annotated

import typer

from fraud.cli import options, output


def settings(
    file: options.SettingsFile = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of the documentation.")] = False,
) -> None:
    """Print every setting as TOML: the value in use, its unit and meaning; a file to start from.

    Values come from defaults, the settings file (--settings, or fraud.toml in the current folder) and the
    environment: FRAUD_MONEY__BASE=USD sets [money] base. Unknown names are refused, with the nearest one.
    """
    from fraud.core.settings import describe, reference
    from streaming.settings import ServiceSettings

    if markdown:
        output.show(reference(ServiceSettings))
        return
    section = ""
    for item in describe(ServiceSettings, options.settings(file)):
        place, _, name = item.key.rpartition(".")
        if place != section:
            section = place
            output.show(f"\n[{section}]")
        unit = f" ({item.unit})" if item.unit else ""
        output.show(f"# {item.help}{unit}\n{name} = {item.value}")
