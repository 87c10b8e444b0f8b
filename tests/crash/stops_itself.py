"""The command line with a worker that stops itself once: STOP_AT names the place, STOP_BY the signal.

Places: before its write to the store; after that, before it publishes; before it commits; when it has read the end of
the output, before it begins partitions; when it gives partitions up. Signals: SIGKILL, SIGSTOP.
"""

import os
import signal
from collections.abc import Callable
from functools import wraps
from typing import Any

from features.stores.redis import RedisStore
from fraud.cli import main
from streaming.kafka.confluent import ConfluentProducer
from streaming.kafka.kafka_python import PythonProducer
from streaming.kafka.link import KafkaLink
from streaming.kafka.recovery import Recovery

BATCHES = 5
PLACES: dict[str, list[tuple[type, str]]] = {
    "before-write": [(RedisStore, "write")],
    "after-write": [(KafkaLink, "_messages")],
    "before-commit": [(KafkaLink, "_commit"), (PythonProducer, "end"), (ConfluentProducer, "end")],
    "in-recovery": [(Recovery, "_begin")],
    "in-rebalance": [(KafkaLink, "give_partitions")],
}
AT_ONCE = frozenset({"_begin", "give_partitions"})
"""What is stopped at when it comes for the first time."""


COMMITS = frozenset({"_commit", "end"})


def stopping(method: Callable[..., Any], by: signal.Signals) -> Callable[..., Any]:
    """Let some calls with answers in hand (of a commit: any) through, then stop once, before the next."""
    left = [1 if method.__name__ in AT_ONCE else BATCHES]

    @wraps(method)
    def stops(self: Any, *given: Any, **options: Any) -> Any:
        first = method.__name__ in AT_ONCE and given and given[0]
        if first or method.__name__ in COMMITS or any(isinstance(each, list) and each for each in given):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), by)
        return method(self, *given, **options)

    return stops


if __name__ == "__main__":
    for owner, name in PLACES[os.environ["STOP_AT"]]:
        setattr(owner, name, stopping(getattr(owner, name), signal.Signals[os.environ["STOP_BY"]]))
    main()
