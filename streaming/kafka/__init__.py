"""The ports on Kafka: source and sink, offsets, topics, and what is read back from the log."""
