"""The product: what a fraud decision is, and what people do with it."""

import sys
from importlib.util import find_spec
from pathlib import Path

BROUGHT = ("streaming", "features", "models")
"""Packages that come with this one, under names that others use too."""


def _require_own() -> None:
    """Raise ImportError where another package or module stands before one that comes with this one.

    Python would take it and fail far inside, at a name that it lacks.
    """
    home = Path(__file__).resolve().parents[1]
    for name in BROUGHT:
        spec = sys.modules[name].__spec__ if name in sys.modules else find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).resolve().parent == home / name:
            continue
        msg = (
            f"import {name} gives {spec.origin}, not the package of that name that fraud brings ({home / name}): "
            f"rename yours, or start Python in another folder; what stands first in sys.path is taken"
        )
        raise ImportError(msg, name=name, path=spec.origin)


_require_own()
