"""Parts of kafka-python that are others than its own: how a producer waits, how a batch is read."""
