"""The command line with one more model: `stub`, a scorer that reads histories. Run as `python -m`, like `fraud`."""

from fraud.cli import main
from fraud.core.ports import Scorer
from fraud.core.settings import Settings
from streaming import wiring
from tests.histories import Reader

STUB = "stub"
real_scorer = wiring.scorer


class Named(Reader):
    """The stub under a version of its own."""

    @property
    def version(self) -> str:
        return STUB


def scorer(name: str, settings: Settings, spec_version: str) -> Scorer:
    """Return the stub by its name, any other model as ever."""
    return Named() if name == STUB else real_scorer(name, settings, spec_version)


if __name__ == "__main__":
    wiring.scorer = scorer
    main()
