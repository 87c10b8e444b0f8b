"""The command line with a worker that kills itself after it wrote to the store and before it publishes."""

import os
import signal

from fraud.cli import main
from streaming.kafka.link import KafkaLink
from streaming.kafka.publisher import Messages

BATCHES = 5
messages_of = KafkaLink._messages


def die(link: KafkaLink, *given: object, seen: list[int] = []) -> Messages:  # noqa: B006 - counts calls
    """Let some batches be published, then die with one in hand, which the store has already."""
    messages = messages_of(link, *given)  # type: ignore[arg-type]
    if messages.decisions:
        seen.append(len(messages.decisions))
    if len(seen) > BATCHES:
        os.kill(os.getpid(), signal.SIGKILL)
    return messages


if __name__ == "__main__":
    KafkaLink._messages = die  # type: ignore[method-assign,assignment]
    main()
