"""The leaves learned on: River against a plain sum, snapshots, the served scorer."""
