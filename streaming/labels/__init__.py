"""The label service: verdicts joined with the payments that they speak of."""
