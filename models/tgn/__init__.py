"""The temporal graph network: its parts, its batch form, and the runtime that serves it."""
