"""Run the command line with the calls of its main thread noted: who is entered first, and in which order, turn by turn.

    python -m tests.docs.traced OUT FIRST WORDS...

A turn begins with each call of FIRST (`file:qualname`). When the process ends, OUT holds a turn a line, as JSON: the
functions of the four packages that it entered, each once, in the order of their first call. Turns that do the same are
written once.
"""

import json
import sys
from pathlib import Path
from types import CodeType, FrameType

ROOT = Path(__file__).parents[2]
PACKAGES = tuple(f"{ROOT}/{name}/" for name in ("fraud", "streaming", "features", "models"))


class Tracer:
    """Notes calls, as `sys.setprofile` tells of them."""

    def __init__(self, first: str) -> None:
        self._first = first
        self._names: dict[CodeType, str | None] = {}
        self._turn: dict[str, None] = {}
        self.turns: dict[tuple[str, ...], None] = {}

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        del argument
        if event != "call":
            return
        code = frame.f_code
        if code not in self._names:
            self._names[code] = name_of(code)
        if (name := self._names[code]) is None:
            return
        if name == self._first:
            self.end()
        self._turn.setdefault(name)

    def end(self) -> None:
        """End the turn at hand."""
        self.turns.setdefault(tuple(self._turn))
        self._turn = {}


def name_of(code: CodeType) -> str | None:
    """Return `file:qualname` of code of the four packages, None for other code."""
    if not code.co_filename.startswith(PACKAGES):
        return None
    return f"{Path(code.co_filename).relative_to(ROOT)}:{code.co_qualname}"


def main() -> None:
    out, first, *words = sys.argv[1:]
    from fraud.cli import main as command_line

    tracer = Tracer(first)
    sys.argv[1:] = words
    sys.setprofile(tracer)
    try:
        command_line()
    finally:
        sys.setprofile(None)
        tracer.end()
        Path(out).write_text("".join(json.dumps(turn) + "\n" for turn in tracer.turns))


if __name__ == "__main__":
    main()
