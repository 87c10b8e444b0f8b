"""kafka-python's network client as its producer should have it: what was sent together leaves together, without a spin.

The sender of kafka-python 3.0.12 takes a partition as soon as it holds one message, so that a batch over four
partitions becomes up to four requests, one after the other. And while one request is under way and another partition's
messages wait, it asks the network with a time-out of 0, thousands of times a second. Both go through this client,
which the producer takes as its setting `kafka_client`. It is imported when something is connected.
"""

from typing import Any

from kafka.net.compat import KafkaNetClient

WAIT_MS = 100
"""How long the sender waits for a node that is busy. Its answer, and `release`, end the wait at once."""


class PacedClient(KafkaNetClient):  # type: ignore[misc]
    """A client that shows the sender no node while messages are being put together."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take what the producer gives."""
        super().__init__(*arguments, **options)
        self.held = self._is_awaiting = False

    def hold(self) -> None:
        """Let messages wait; nothing that was sent leaves before `release`."""
        self.held = True

    def release(self) -> None:
        """Let everything that waits leave."""
        self.held = False
        self.wakeup()

    def is_ready(self, node_id: Any) -> bool:
        """Tell the sender whether it may take messages for a node."""
        return (not self.held or self._is_awaiting) and bool(super().is_ready(node_id))

    def await_ready(self, node_id: Any, timeout_ms: float = 30_000) -> bool:
        """Wait for a node, for a request about a transaction: those are not held. Only the sender calls this."""
        self._is_awaiting = True
        try:
            return bool(super().await_ready(node_id, timeout_ms))
        finally:
            self._is_awaiting = False

    def connection_delay(self, node_id: Any) -> float:
        """Return how long the sender need not ask for a node, in milliseconds, for so it takes the answer."""
        connection = self._manager._conns.get(node_id)
        if self.held or (connection is not None and (connection.paused or connection.initializing)):
            return WAIT_MS
        return float(super().connection_delay(node_id)) * 1_000

    def wakeup(self) -> None:
        """Wake the sender, unless it would find nothing that may leave."""
        if not self.held:
            super().wakeup()
