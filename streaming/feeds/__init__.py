"""Topics followed from positions that the reader keeps, and written to: in Kafka, or in segments in a folder."""
