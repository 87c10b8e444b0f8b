"""The named streams, so that a command line can list them and make one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from fraud.core.errors import DataError, nearest
from fraud.simulate import fdh, fronts, memory, rich, rings, shift
from fraud.simulate.demo import DEMO
from fraud.simulate.traffic import Traffic

Process = fdh.Fdh | rich.Rich | shift.Shift | memory.Memory | fronts.Fronts | rings.Rings


@dataclass(frozen=True, slots=True)
class Stream:
    """A named stream: a paragraph on what it is, the meaning of its parameters, their defaults, and how to make it."""

    name: str
    meaning: str
    parameters: Mapping[str, str]
    defaults: Mapping[str, int | float | None]
    process: Callable[..., Traffic]

    def make(self, **parameters: int | float | None) -> Traffic:
        """Return the stream's traffic; parameters left out have their defaults.

        Raises:
            DataError: when a parameter does not exist or is out of range.
        """
        for given in parameters:
            if given not in self.parameters:
                msg = f"stream '{self.name}' has no parameter '{given}': it has {', '.join(self.parameters)}."
                raise DataError(msg + nearest(given, self.parameters))
        return self.process(**{**self.defaults, **parameters})


_COMMON = {
    "cards": "number of cards",
    "days": "number of days",
    "seed": "the same seed gives the same stream",
    "start": "midnight that the stream begins at, UTC nanoseconds",
}
_FDH = {
    **_COMMON,
    "terminals": "number of terminals (merchants)",
    "radius": "how far a card goes to pay, on a square of side 100",
}
_RICH = {
    **_COMMON,
    "merchants": "number of merchants; one to 5 cards when left out",
    "rate": "mean payments of a card a day",
    "fraud_share": "share of payments that are fraudulent, about",
    "chargeback_days": "median delay of a chargeback, days",
}
_SHIFT = {**_RICH, "day": "day, counted from 0, on which the tactics change"}
_KNOWN = {**_COMMON, "label_days": "days after each payment at which its verdict becomes known"}
_MEMORY = {
    **_KNOWN,
    "tested": "share of cards whose number was tested: their later purchases are mostly frauds",
    "near": "share of cards with evidence 20 to 200 payments back; the others have it far back",
    "least": "fewest payments of the card between far evidence and a fraud",
    "most": "most payments of the card between far evidence and a fraud",
}
_TEXT = {
    **_KNOWN,
    "chains": "number of chains; every fourth has fraudulent shops",
    "every": "days between two new shops of a chain, mean",
    "late": "share of chains that begin after the first 20 days",
    "rate": "mean payments of a card a day",
}
_RINGS = {
    **_KNOWN,
    "rate": "mean payments of a card a day",
    "robbed": "share of cards robbed in the first days, which are met again in rings",
}


def streams() -> dict[str, Stream]:
    """Return every stream by name."""
    listed = (
        Stream(
            "fdh",
            "The process of the Fraud Detection Handbook: cards pay at terminals near them; frauds are very large "
            "amounts, terminals compromised for 28 days, and cards compromised for 14. Its own labels come at once: "
            "give a delay.",
            _FDH,
            _defaults(fdh.Fdh()),
            _fdh,
        ),
        Stream(
            "rich",
            "What real card traffic has beyond it: hubs, devices, merchant text, channels, currencies, rhythm, "
            "travel, refunds; card testing, stolen cards, takeovers, device and mule rings, skimming, bust-outs, all "
            "drifting; labels late by source; messages late, twice and corrected.",
            _RICH,
            _defaults(rich.Rich()),
            _rich,
        ),
        Stream(
            "demo",
            "The rich stream, small, with frauds often and chargebacks in days, to be watched at high speed.",
            _RICH,
            _defaults(DEMO),
            _rich,
        ),
        Stream(
            "shift",
            "The rich stream, whose tactics change on one day: card testing, what follows a test, and stolen cards "
            "end; takeovers, device rings and mule rings begin; skimmed cards and bust-outs go on. Each message comes "
            "once.",
            _SHIFT,
            _defaults(shift.Shift()),
            _shift,
        ),
        *_tests(),
    )
    return {stream.name: stream for stream in listed}


def _tests() -> tuple[Stream, ...]:
    """Return the streams that each ask for one ability, with the optimum beside every payment."""
    return (
        Stream(
            "long-memory",
            "Busy cards whose frauds were prepared by a run of tiny payments 500 to 5,000 payments earlier (20 to 200 "
            "on some); counts, sums and labels tell nothing. The column 'optimum' holds the best score there is.",
            _MEMORY,
            _defaults(memory.Memory()),
            _memory,
        ),
        Stream(
            "text",
            "New merchants keep appearing; those whose names resemble fraudulent merchants of before are fraudulent, "
            "and all else is alike. The column 'optimum' holds the best score there is.",
            _TEXT,
            _defaults(fronts.Fronts()),
            _text,
        ),
        Stream(
            "rings",
            "Shared devices and mule merchants whose first visitors are cards known for fraud; the paying card, the "
            "device and the merchant are clean. The column 'optimum' holds the best score there is.",
            _RINGS,
            _defaults(rings.Rings()),
            _rings,
        ),
    )


def stream(name: str) -> Stream:
    """Return a stream by name.

    Raises:
        DataError: when there is none of that name.
    """
    known = streams()
    if name not in known:
        msg = f"no stream is called '{name}': there are {', '.join(known)}.{nearest(name, known)}"
        raise DataError(msg)
    return known[name]


def _fdh(**parameters: Any) -> Traffic:
    return fdh.generate(fdh.Fdh(**parameters))


def _rich(**parameters: Any) -> Traffic:
    return rich.generate(rich.Rich(**parameters))


def _shift(**parameters: Any) -> Traffic:
    return shift.generate(shift.Shift(**parameters))


def _memory(**parameters: Any) -> Traffic:
    return memory.generate(memory.Memory(**parameters))


def _text(**parameters: Any) -> Traffic:
    return fronts.generate(fronts.Fronts(**parameters))


def _rings(**parameters: Any) -> Traffic:
    return rings.generate(rings.Rings(**parameters))


def _defaults(process: Process) -> dict[str, int | float | None]:
    """Return a process's parameters by name."""
    return {f.name: getattr(process, f.name) for f in fields(process)}
