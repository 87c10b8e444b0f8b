"""What every test may ask for."""

import os

from hypothesis import settings

# Threads of a fit that wait for each other spin, and on a busy machine that takes most of the time: one does.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.services", "tests.databases"]

# No timed asserts: a busy machine fails no test.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
