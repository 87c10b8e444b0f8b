"""Run real Kafka (KRaft) and Redis without containers: folders and ports of the caller's choice, stopped by pid.

    python -m infra.services kafka start --data build/kafka --port 9092 [--nodes 3]
    python -m infra.services redis start --data build/redis --port 6379 [--aof everysec] [--password SECRET]
    python -m infra.services kafka|redis stop|kill|status --data FOLDER

`start` returns when the service answers and prints one JSON line with its address; port 0 picks a free one. What it
needs is installed by `infra/services.sh install`. Standard library only.
"""

import argparse
import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
INSTALL = "infra/services.sh install"
READY_SECONDS = 60.0
STOP_SECONDS = 30.0
CLUSTER = "ZnJhdWQtbG9jYWwtY2x1c3Q"  # 22 characters of base64: 16 bytes, as storage wants them
HEAP = "-Xmx512m"


class ServiceError(RuntimeError):
    """A service could not be started or stopped; the message says why and what to do."""


def free_ports(count: int) -> list[int]:
    """Return ports on the loopback address that nothing listens on."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]


def is_open(port: int) -> bool:
    """Tell whether something listens on a port of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def need_free(port: int, what: str) -> None:
    """Raise ServiceError when a port is taken."""
    if is_open(port):
        msg = f"port {port} for {what} is in use: choose another with --port, or 0 for any free one"
        raise ServiceError(msg)


def die_with_parent() -> None:
    """Ask the kernel to end this child when the process that started it is gone (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """One server process with a pid file and a log in its folder."""

    def __init__(self, folder: Path, name: str) -> None:
        """Name the folder; nothing is started."""
        self.folder, self.name = folder, name
        self.log = folder / f"{name}.log"
        self._pid_file = folder / f"{name}.pid"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Return the process's id while it lives."""
        try:
            pid = int(self._pid_file.read_text())
            if self._child is not None and self._child.poll() is not None:
                return None
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        return pid

    def start(self, command: list[str], *, tied: bool) -> None:
        """Start it; `tied` ends it with this process."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=die_with_parent if tied else None,
            )
        self._pid_file.write_text(str(self._child.pid))

    def wait(self, ready: Callable[[], bool]) -> None:
        """Return when `ready` holds; raise ServiceError with the log's tail when the process ends or time is up."""
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            if ready():
                return
            if self.pid is None:
                break
            time.sleep(0.05)
        tail = self.log.read_text(errors="replace")[-2_000:] if self.log.exists() else ""
        msg = f"{self.name} did not come up; the end of {self.log}:\n{tail}"
        raise ServiceError(msg)

    def end(self, how: signal.Signals) -> None:
        """Send a signal and wait until the process is gone."""
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, how)
        until = time.monotonic() + STOP_SECONDS
        while self.pid is not None:
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
                until += STOP_SECONDS
            time.sleep(0.01)
        self._pid_file.unlink(missing_ok=True)

    def pause(self) -> None:
        """Stop the process without ending it."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, how: signal.Signals) -> None:
        if (pid := self.pid) is not None:
            os.kill(pid, how)


class Redis:
    """A Redis server with its append-only file."""

    def __init__(self, folder: Path, port: int = 0, *, aof: str = "everysec", password: str = "") -> None:
        """Choose the folder, the port (0: any free one), how often the file is synced, and a password."""
        self.folder = folder
        self.port = port or free_ports(1)[0]
        self.aof, self.password = aof, password
        self.process = Process(folder, "redis")

    @property
    def url(self) -> str:
        """Return the address as clients take it."""
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def start(self, *, tied: bool = False) -> "Redis":
        """Start it on its data; return when it answers."""
        if shutil.which("redis-server") is None:
            msg = f"redis-server is not installed: run {INSTALL}"
            raise ServiceError(msg)
        need_free(self.port, "Redis")
        self.process.start(self._command(), tied=tied)
        self.process.wait(self._answers)
        return self

    def stop(self) -> None:
        """End it in good order."""
        self.process.end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.process.end(signal.SIGKILL)

    def cut_aof(self, count: int) -> int:
        """Cut bytes off the end of the append-only file, as a power cut may; return how many are left."""
        files = sorted((self.folder / "appendonlydir").glob("*.incr.aof"))
        path = files[-1]
        left = max(path.stat().st_size - count, 0)
        os.truncate(path, left)
        return left

    def aof_bytes(self) -> int:
        """Return the size of the newest part of the append-only file."""
        files = sorted((self.folder / "appendonlydir").glob("*.incr.aof"))
        return files[-1].stat().st_size if files else 0

    def _command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder.resolve()),
            "save": "",
            "appendonly": "no" if self.aof == "no" else "yes",
            "appendfsync": "everysec" if self.aof == "no" else self.aof,
            "aof-load-truncated": "yes",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        if self.password:
            options["requirepass"] = self.password
        self.folder.mkdir(parents=True, exist_ok=True)
        return ["redis-server", *(word for key, value in options.items() for word in (f"--{key}", value))]

    def _answers(self) -> bool:
        login = f"AUTH {self.password}\r\n" if self.password else ""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5) as line:
            line.sendall(f"{login}PING\r\n".encode())
            return b"PONG" in line.recv(256)
        return False


class Kafka:
    """An Apache Kafka cluster in KRaft mode: one node, or three with replication."""

    def __init__(self, folder: Path, port: int = 0, *, nodes: int = 1) -> None:
        """Choose the folder, the first node's port (0: any free one; others are free ones) and the number of nodes."""
        self.folder, self.nodes = folder, nodes
        ports = free_ports(2 * nodes)
        self.ports = [port or ports[0], *ports[1:nodes]]
        self._controllers = ports[nodes:]
        self.processes = [Process(folder / f"node{node + 1}", "kafka") for node in range(nodes)]

    @property
    def bootstrap(self) -> str:
        """Return the addresses as clients take them."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def start(self, *, tied: bool = False) -> "Kafka":
        """Format new folders, start every node; return when all accept connections."""
        for node in range(self.nodes):
            self.start_node(node, tied=tied)
        for node in range(self.nodes):
            self.wait(node)
        return self

    def start_node(self, node: int, *, tied: bool = False) -> None:
        """Start one node, without waiting for it."""
        need_free(self.ports[node], f"Kafka node {node + 1}")
        process = self.processes[node]
        properties = self._configure(node)
        java = [
            "java",
            HEAP,
            "-cp",
            f"{kafka_home()}/*",
            f"-Dlog4j2.configurationFile={HERE / 'kafka/log4j2.properties'}",
        ]
        if not (process.folder / "data" / "meta.properties").exists():
            storage = [*java, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(properties)]
            subprocess.run(storage, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        process.start([*java, "kafka.Kafka", str(properties)], tied=tied)

    def wait(self, node: int) -> None:
        """Return when a node accepts connections."""
        self.processes[node].wait(lambda: is_open(self.ports[node]))

    def stop(self) -> None:
        """End every node in good order."""
        for process in self.processes:
            process.end(signal.SIGTERM)

    def kill(self) -> None:
        """End every node at once, as a crash does."""
        for process in self.processes:
            process.end(signal.SIGKILL)

    def _configure(self, node: int) -> Path:
        """Write a node's properties; return the file."""
        copies, voters = min(self.nodes, 3), enumerate(self._controllers, 1)
        lines = {
            "process.roles": "broker,controller",
            "node.id": node + 1,
            "controller.quorum.voters": ",".join(f"{number}@127.0.0.1:{port}" for number, port in voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.ports[node]},CONTROLLER://127.0.0.1:{self._controllers[node]}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.ports[node]}",
            "log.dirs": (self.processes[node].folder / "data").resolve(),
            "num.partitions": 4,
            "default.replication.factor": copies,
            "min.insync.replicas": max(copies - 1, 1),
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": max(copies - 1, 1),
            "transaction.state.log.num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1_000,
            "auto.create.topics.enable": "false",
            # The state store can be rebuilt from the topic, so a topic outlives the longest window and its lateness.
            "log.retention.hours": 24 * 40,
        }
        folder = self.processes[node].folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        return path


def kafka_home() -> str:
    """Return the folder of Kafka's jars; raise ServiceError when it is not there."""
    home = subprocess.run(
        [str(HERE / "services.sh"), "where"], check=True, capture_output=True, text=True
    ).stdout.strip()
    if not (Path(home) / ".complete").exists() or shutil.which("java") is None:
        msg = f"Apache Kafka or Java is not installed (looked in {home}): run {INSTALL}"
        raise ServiceError(msg)
    return home


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="infra.services", description="Run Kafka and Redis without containers.")
    parser.add_argument("service", choices=["kafka", "redis"])
    parser.add_argument("action", choices=["start", "stop", "kill", "status"])
    parser.add_argument("--data", type=Path, required=True, help="folder of data, logs and pid files")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--nodes", type=int, default=1, choices=[1, 3], help="Kafka: nodes, each with a copy")
    parser.add_argument("--aof", default="everysec", choices=["everysec", "always", "no"], help="Redis: sync to disk")
    parser.add_argument("--password", default="", help="Redis: password")
    given = parser.parse_args()
    try:
        print(json.dumps(run(given)))
    except ServiceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def run(given: argparse.Namespace) -> dict[str, object]:
    """Carry out one action; return what is printed."""
    if given.action == "start":
        if given.service == "redis":
            return {"url": Redis(given.data, given.port, aof=given.aof, password=given.password).start().url}
        return {"bootstrap": Kafka(given.data, given.port, nodes=given.nodes).start().bootstrap}
    paths = [given.data] if given.service == "redis" else sorted(given.data.glob("node*"))
    processes = [Process(path, given.service) for path in paths]
    if given.action != "status":
        for process in processes:
            process.end(signal.SIGKILL if given.action == "kill" else signal.SIGTERM)
    return {"running": [process.pid for process in processes if process.pid is not None]}


if __name__ == "__main__":
    main()
