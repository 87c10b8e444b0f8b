"""Import what a worker imports, so that its bytecode lies on disk; what an environment lacks is left out."""

from contextlib import suppress
from importlib import import_module

WANTED = (
    "numba.np.linalg", "fraud.cli.serve", "fraud.cli.replay", "fraud.cli.demo", "streaming.worker",
    "streaming.serving", "streaming.wiring", "streaming.replaying", "features.stores.redis", "models.blend",
    "models.reasons", "kafka", "redis", "prometheus_client", "onnxruntime", "scipy.linalg",
)  # fmt: skip

for name in WANTED:
    with suppress(ImportError):
        import_module(name)
