"""What the outside sees of a worker: Prometheus metrics, liveness, readiness.

Names begin with `fraud_`, units are base units, counters end in `_total`; a label is never a card, a merchant or a
transaction. Liveness asks only whether this process's loop turns, never Kafka or Redis; readiness asks whether there
are partitions, a model and a store.
"""

import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fraud.core.engine import Strategy
from fraud.core.records import Answer, Intake
from streaming import clock
from streaming.observe.counts import Counts

BUILT = ["model", "spec", "policy", "rules", "release"]
STUCK_NS = 120_000_000_000


class Gauges:
    """What is true of a worker now, in a registry given with `options`."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Declare every gauge."""
        from prometheus_client import Gauge

        self.lag = Gauge("fraud_consumer_lag", "Messages waiting in a partition", ["topic", "partition"], **options)
        self.degraded = Gauge("fraud_degraded", "1 while the state store is gone", **options)
        self.recoveries = Gauge("fraud_recoveries", "Times the end of the output was read", **options)
        self.store_restarts = Gauge("fraud_store_restarts", "Restarts of the state store noticed", **options)
        self.store_older = Gauge(
            "fraud_store_older", "Partitions read again because the state store was an older copy", **options
        )
        self.topics_anew = Gauge("fraud_topics_anew", "Partitions begun again, their topic being another", **options)
        self.records_lost = Gauge("fraud_records_lost", "Records that topics let go before they were read", **options)
        self.cache_bytes = Gauge("fraud_store_cache_bytes", "Memory that copies of rows take", **options)
        self.rules_refused = Gauge("fraud_rules_refused", "Changed rule files refused", **options)
        self.build = Gauge("fraud_build_info", "What this worker runs", BUILT, **options)
        self._lagging: set[tuple[str, int]] = set()

    def show_lag(self, lag: Mapping[tuple[str, int], int]) -> None:
        """Show how much waits in the partitions that are held, and nothing of those that were given up."""
        for topic, partition in self._lagging - lag.keys():
            self.lag.remove(topic, str(partition))
        self._lagging = set(lag)
        for (topic, partition), messages in lag.items():
            self.lag.labels(topic, str(partition)).set(messages)

    def show_build(self, strategy: Strategy) -> None:
        """Show what decides from now on."""
        scorer = strategy.scorer
        self.build.clear()
        chosen = strategy.policy.version, strategy.rules.version, strategy.release
        self.build.labels(scorer.version, scorer.spec_version, *chosen).set(1)


class Metrics:
    """A worker's metrics, in a registry of their own."""

    def __init__(self) -> None:
        """Declare every metric."""
        from prometheus_client import CollectorRegistry

        self.registry = CollectorRegistry()
        self.counts = Counts()
        self.registry.register(self.counts)
        self.gauges = Gauges({"registry": self.registry})

    def batch_done(self, intake: Intake, answers: Sequence[Answer], spent: Mapping[str, int]) -> None:
        """Take in one batch; `spent` is nanoseconds by stage."""
        self.counts.add(intake, answers, spent)

    def text(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        from prometheus_client import generate_latest

        return bytes(generate_latest(self.registry))


class Health:
    """What `/livez` and `/readyz` say."""

    def __init__(self) -> None:
        """Begin alive and not ready."""
        self.turned_at = clock.monotonic_ns()
        self.waits_for: tuple[str, ...] = ("partitions",)

    def turn(self, waits_for: Sequence[str]) -> None:
        """Note a turn of the loop, and what is missing for being ready."""
        self.turned_at = clock.monotonic_ns()
        self.waits_for = tuple(waits_for)

    def beat(self) -> None:
        """Note that work goes on, though the loop does not turn."""
        self.turned_at = clock.monotonic_ns()

    @property
    def alive(self) -> bool:
        """Tell whether the loop turned lately."""
        return clock.monotonic_ns() - self.turned_at < STUCK_NS


class Pages:
    """A small HTTP server on a thread of its own."""

    def __init__(self, host: str, port: int, metrics: Metrics, health: Health) -> None:
        """Listen; port 0 takes any free one."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, text = page(self.path, metrics, health)
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *arguments: object) -> None:
                """Say nothing: a scrape is no event."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True, name="pages").start()

    @property
    def port(self) -> int:
        """Return the port that is listened on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def page(path: str, metrics: Metrics, health: Health) -> tuple[int, bytes]:
    """Return status and text of one page."""
    if path == "/metrics":
        return 200, metrics.text()
    if path == "/livez":
        return (200, b"ok\n") if health.alive else (503, b"the loop is stuck\n")
    if path == "/readyz":
        waits = ", ".join(health.waits_for)
        return (503, f"waits for {waits}\n".encode()) if waits else (200, b"ready\n")
    return 404, b"expected /metrics, /livez or /readyz\n"
