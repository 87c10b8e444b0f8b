"""Structured logs: one JSON object a line on standard error, and never a card number.

Fields name topics, partitions, counts and versions. What a transaction holds stays out, and text that may quote a
message (a client's error) is masked: any run of 12 to 19 digits is a card number as far as this is concerned.
"""

import re
import sys
from typing import Any, TextIO

import msgspec

from streaming import clock
from streaming.messages.times import to_text

CARD = re.compile(r"(?<!\d)\d(?:[ -]?\d){11,18}(?!\d)")
FORBIDDEN = frozenset({"card", "pan", "tx", "merchant", "device"})


def masked(value: Any) -> Any:
    """Return a value with anything that looks like a card number taken out."""
    return CARD.sub("[masked]", value) if isinstance(value, str) else value


class Log:
    """Writes events. `to` is a text stream, standard error unless given."""

    def __init__(self, service: str, to: TextIO | None = None) -> None:
        """Name the service, as `worker-0`."""
        self._service, self._to = service, to or sys.stderr
        self._faults: dict[str, str] = {}

    def say(self, event: str, **fields: Any) -> None:
        """Write one event; raise ValueError for a field that would carry a card's data."""
        if bad := FORBIDDEN & fields.keys():
            msg = f"log field {', '.join(sorted(bad))}: what a transaction holds is not logged"
            raise ValueError(msg)
        shown = {name: masked(value) for name, value in fields.items()}
        line = {"at": to_text(clock.now_ns()), "service": self._service, "event": event, **shown}
        self._to.write(msgspec.json.encode(line).decode() + "\n")
        self._to.flush()

    def say_once(self, event: str, fault: str) -> None:
        """Write an event with its fault, unless that is the fault that the event was written with last."""
        if self._faults.get(event) != fault:
            self._faults[event] = fault
            self.say(event, fault=fault)
