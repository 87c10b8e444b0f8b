"""Import what a worker imports, so that its bytecode lies on disk; what an environment lacks is left out."""

from contextlib import suppress
from importlib import import_module

WANTED = (
    "numba.np.linalg", "fraud.cli.run", "fraud.cli.replay", "fraud.cli.demo", "streaming.worker.fallback",
    "streaming.service_wiring", "streaming.wiring", "streaming.replay.job", "features.stores.redis", "models.blend",
    "models.reasons.of_blend", "kafka", "redis", "prometheus_client", "onnxruntime", "scipy.linalg",
)  # fmt: skip

for name in WANTED:
    with suppress(ImportError):
        import_module(name)
