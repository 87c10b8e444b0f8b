"""Alerts that tell something usual, small or free of fraud as a ground to hold a payment, by an independent judge.

python -m tests.bench.directions [--model demo-young] [--stream shift] [--set days=60] [--each 3] ...

Prints alerts, those with such a reason, those without any reason, and reasons an alert, then the codes at fault with
examples. The judge is `tests/models/directions.py`; reasons of rules are not judged.
"""

import argparse
import json
from collections import defaultdict
from typing import NamedTuple

from features.spec import spec
from fraud.core.records import Answer
from fraud.simulate import stream
from tests.models.directions import alerts, contradicting


class Count(NamedTuple):
    """What was found in a stream's alerts; `texts` are the sentences at fault, by code."""

    alerts: int
    contradicting: int
    silent: int
    reasons: int
    texts: dict[str, list[str]]

    def line(self) -> dict[str, object]:
        """Return what is printed."""
        share = self.contradicting / max(self.alerts, 1)
        each = self.reasons / max(self.alerts, 1)
        return {"alerts": self.alerts, "contradicting": self.contradicting, "share": round(share, 4),
                "without_reasons": self.silent, "reasons_an_alert": round(each, 2)}  # fmt: skip


def counted(told: list[Answer]) -> Count:
    """Return what is at fault in alerts."""
    names, texts, at_fault = spec().names, defaultdict[str, list[str]](list), 0
    for one in told:
        assert one.vector is not None
        found = contradicting(one.decision.reasons, dict(zip(names, one.vector.values.tolist(), strict=True)))
        at_fault += bool(found)
        for reason in found:
            texts[reason.code].append(reason.text)
    lengths = [len(one.decision.reasons) for one in told]
    return Count(len(told), at_fault, lengths.count(0), sum(lengths), dict(texts))


def main() -> None:
    """Run a model over a stream and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo-young")
    parser.add_argument("--stream", default="shift")
    parser.add_argument("--set", action="append", default=[], help="NAME=NUMBER, a parameter of the stream")
    parser.add_argument("--each", type=int, default=3, help="examples of each code")
    given = parser.parse_args()
    numbers = {name: json.loads(value) for name, value in (pair.split("=") for pair in given.set)}
    found = counted(list(alerts(given.model, stream(given.stream).make(**numbers))))
    print(json.dumps({"model": given.model, "stream": given.stream, **numbers, **found.line()}))
    for code, texts in sorted(found.texts.items(), key=lambda one: -len(one[1])):
        print(f"{len(texts):>6} {code}")
        for text in texts[: given.each]:
            print(f"       {text}")


if __name__ == "__main__":
    main()
