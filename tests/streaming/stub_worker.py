"""The command line with one more model: `stub`, a scorer that reads histories. Run as `python -m`, like `fraud`."""

from pathlib import Path

from fraud.cli import main
from fraud.core.ports import Scorer
from streaming import wiring
from tests.histories import Reader

STUB = "stub"
real_scorer = wiring.scorer


class Named(Reader):
    """The stub under a version of its own."""

    @property
    def version(self) -> str:
        return STUB


def scorer(name: str, folder: Path, spec_version: str, *, evidence: bool = True) -> Scorer:
    """Return the stub by its name, any other model as ever."""
    return Named() if name == STUB else real_scorer(name, folder, spec_version, evidence=evidence)


if __name__ == "__main__":
    wiring.scorer = scorer
    main()
