"""The command line: start, stop, kill and look at a service by its folder."""

import argparse
import json
import signal
import sys
from pathlib import Path

from infra.services import KafkaServer, PostgresServer, RedisServer, ServiceError
from infra.services.process import Process

ADDRESS = "address.json"
END = {
    ("stop", False): signal.SIGTERM,
    ("stop", True): signal.SIGINT,  # asked by SIGTERM, PostgreSQL waits until its clients have gone
    ("kill", False): signal.SIGKILL,
    ("kill", True): signal.SIGKILL,
}


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="infra.services", description="Run Kafka, Redis and PostgreSQL without containers."
    )
    parser.add_argument("service", choices=["kafka", "redis", "postgres"])
    parser.add_argument("action", choices=["start", "stop", "kill", "status"])
    parser.add_argument("--data", type=Path, required=True, help="folder of data, logs and pid files")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--nodes", type=int, default=1, choices=[1, 3], help="Kafka: nodes, each with a copy")
    parser.add_argument("--aof", default="everysec", choices=["everysec", "always", "no"], help="Redis: sync to disk")
    parser.add_argument("--password", default="", help="what clients must give; Kafka: on a second port")
    parser.add_argument("--tls", action="store_true", help="Redis: TLS only, with a certificate made in the folder")
    parser.add_argument("--sync", action="store_true", help="PostgreSQL: a commit waits for the disk")
    return parser.parse_args(words)


def start(given: argparse.Namespace) -> dict[str, object]:
    """Start a service; return its address."""
    if given.service == "redis":
        redis = RedisServer(given.data, given.port, aof=given.aof, password=given.password, tls=given.tls)
        address: dict[str, object] = {"url": redis.start().url, "port": redis.port}
    elif given.service == "postgres":
        postgres = PostgresServer(given.data, given.port, sync=given.sync, password=given.password)
        address = {"url": postgres.start().url, "port": postgres.port}
    else:
        kafka = KafkaServer(given.data, given.port, nodes=given.nodes, password=given.password).start()
        address = {"bootstrap": kafka.bootstrap, "ports": kafka.ports}
        if given.password:
            address |= {"secure": kafka.secure_bootstrap, "certificate": str(kafka.certificate)}
    path = given.data / ADDRESS
    path.touch(mode=0o600)  # it may hold a password
    path.write_text(json.dumps(address))
    return address


def running(processes: list[Process], folder: Path) -> dict[str, object]:
    """Return which processes live, and the address while one does."""
    pids = [process.pid for process in processes if process.pid is not None]
    known = pids and (folder / ADDRESS).exists()
    return {"running": pids} | (json.loads((folder / ADDRESS).read_text()) if known else {})


def run(given: argparse.Namespace) -> dict[str, object]:
    """Carry out one action; return what is printed."""
    if given.action == "start":
        return start(given)
    folders = sorted(given.data.glob("node*")) if given.service == "kafka" else [given.data]
    processes = [Process(folder, given.service) for folder in folders]
    if given.action != "status":
        for process in processes:
            process.send(END[given.action, given.service == "postgres"])
        for process in processes:
            process.gone()
    return running(processes, given.data)


def main() -> None:
    """Run the command line."""
    try:
        print(json.dumps(run(parse())))
    except ServiceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
