"""What a running process tells: stages, latencies, logs, metrics."""
