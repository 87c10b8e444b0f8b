"""The booster's leaves, learned on: River learners, and the scorer that serves what they learned."""
