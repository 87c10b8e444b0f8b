"""What the projector writes: decisions, labels and what was learned, taken in a batch at a time, each exactly once."""
