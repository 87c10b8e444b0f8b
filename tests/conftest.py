"""What every test may ask for."""

from hypothesis import settings

pytest_plugins = ["tests.services"]

# No timed asserts: a busy machine fails no test.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
