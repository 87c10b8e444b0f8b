"""The command line with a worker that kills itself after it wrote to the store and before it publishes."""

import os
import signal
from typing import Any

from fraud.cli import main
from streaming.kafka.link import KafkaLink

BATCHES = 5


def die(link: KafkaLink, first: Any, others: Any, decisions: Any, seen: list[int] = []) -> None:  # noqa: B006 - counts calls
    """Publish some batches, then die with one in hand."""
    if decisions:
        seen.append(len(decisions))
    if len(seen) > BATCHES:
        os.kill(os.getpid(), signal.SIGKILL)
    publish(link, first, others, decisions)


publish = KafkaLink._publish
if __name__ == "__main__":
    KafkaLink._publish = die  # type: ignore[method-assign,assignment]
    main()
