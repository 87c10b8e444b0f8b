"""Learning from late labels on replayed vectors: payments in order of time, labels as they come, refreshes between."""
