"""Apache Kafka of our own, in KRaft mode."""

import base64
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from infra.services.certificate import make_certificate
from infra.services.kafka_wire import brokers
from infra.services.process import INSTALL, Process, ServiceError, free_ports, need_free

USER = "fraud"
INFRA = Path(__file__).parents[1]
# Kafka's own choice of collector; the heap is enough for tests and one laptop's traffic. The second compiler would take
# most of a core for a minute and more, which two cores do not have to give.
HEAP = "-Xmx512m"
SERVER_JVM = ["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:TieredStopAtLevel=1"]
# Three nodes share one machine, for fault tests and not for speed, and formatting runs for a second: a compiler and a
# collector that cost little to start save a third to a half of it.
LIGHT_JVM = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]


class KafkaServer:
    """An Apache Kafka cluster: one node, or three with replication.

    With a password each node listens on a second port too, over TLS only and for user `fraud` only.
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        nodes: int = 1,
        password: str = "",
        options: Mapping[str, object] | None = None,
    ) -> None:
        """Choose the folder, the ports and the number of nodes.

        Args:
            folder: data, logs and pid files; a folder used before brings its data back.
            port: the first node's port on the loopback address (0: any free one; the other ports are free ones).
            nodes: 1, or 3 for a replica on each and two in sync before a write is acknowledged.
            password: what user `fraud` gives on the second port, by PLAIN or SCRAM-SHA-256; empty for no such port.
            options: further lines of every node's server.properties.
        """
        self.folder, self.nodes = folder.resolve(), nodes
        ports = free_ports(3 * nodes)
        self.ports = [port or ports[0], *ports[1:nodes]]
        self._controllers, self._secure = ports[nodes : 2 * nodes], ports[2 * nodes :]
        self.password = password
        self.options = dict(options or {})
        self.processes = [Process(self.folder / f"node{node + 1}", "kafka") for node in range(nodes)]

    @property
    def bootstrap(self) -> str:
        """Return the addresses as clients take them."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def secure_bootstrap(self) -> str:
        """Return the addresses that ask for a password, and speak TLS."""
        return ",".join(f"127.0.0.1:{port}" for port in self._secure)

    @property
    def certificate(self) -> Path:
        """Return the file that clients of those trust: the certificate of the servers, which signs itself."""
        return self.folder / "tls.crt"

    def start(self, *, tied: bool = False) -> "KafkaServer":
        """Format new folders, start every node; return when each knows all. `tied` ends them with the caller."""
        java = kafka_java()
        if self.password:
            self.folder.mkdir(parents=True, exist_ok=True)
            make_certificate(self.folder)
        for node, process in enumerate(self.processes):
            process.need_stopped()
            need_free(self.ports[node], f"Kafka node {node + 1}")
        self._format(java)
        for node in range(self.nodes):
            self.start_node(node, tied=tied)
        for node in range(self.nodes):
            self.wait(node, among=self.nodes)
        return self

    def start_node(self, node: int, *, tied: bool = False) -> None:
        """Start one node, counted from 0, on a folder that was started before; do not wait for it."""
        process = self.processes[node]
        process.need_stopped()
        need_free(self.ports[node], f"Kafka node {node + 1}")
        jvm = SERVER_JVM if self.nodes == 1 else LIGHT_JVM
        process.start([*kafka_java(), HEAP, *jvm, "kafka.Kafka", str(self._configure(node))], tied=tied)

    def kill_node(self, node: int) -> None:
        """End one node at once, as a crash does."""
        self.processes[node].end(signal.SIGKILL)

    def wait(self, node: int, *, among: int = 1) -> None:
        """Return when a node serves, and knows at least `among` live nodes, itself one of them."""
        port = self.ports[node]
        self.processes[node].wait(lambda: node + 1 in (known := brokers(port)) and len(known) >= among)

    def stop(self) -> None:
        """End every node in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End every node at once, as a crash does."""
        self._end(signal.SIGKILL)

    def restart(self, *, tied: bool = True) -> "KafkaServer":
        """End it in good order and start it again on the same ports and data."""
        self.stop()
        return self.start(tied=tied)

    def _end(self, how: signal.Signals) -> None:
        """Signal all nodes before any is awaited: the last of three has no quorum left to wait for."""
        for process in self.processes:
            process.send(how)
        for process in self.processes:
            process.gone()

    def _format(self, java: list[str]) -> None:
        """Prepare the data folders of nodes that have none yet, all at the same time."""
        new = [node for node in range(self.nodes) if not (self._data(node) / "meta.properties").exists()]
        command = [*java, "-Xmx128m", *LIGHT_JVM, "kafka.tools.StorageTool", "format", "-t", self._cluster()]
        if self.password:
            command += ["-S", f"SCRAM-SHA-256=[name={USER},password={self.password}]"]
        tools = [
            subprocess.Popen(
                [*command, "-c", str(self._configure(node))],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for node in new
        ]
        said = [tool.communicate()[0] for tool in tools]
        for tool, text in zip(tools, said, strict=True):
            if tool.returncode:
                msg = f"the folder {self.folder} could not be made ready for Kafka:\n{text[-2_000:]}"
                raise ServiceError(msg)

    def _cluster(self) -> str:
        """Return the cluster's id, made at the first start: no two clusters take each other's nodes for their own."""
        path = self.folder / "cluster.id"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            # 16 bytes in base64 without padding; the first byte keeps it from looking like an option
            path.write_text(base64.urlsafe_b64encode(b"F" + uuid.uuid4().bytes[1:]).decode()[:22])
        return path.read_text()

    def _data(self, node: int) -> Path:
        return self.processes[node].folder / "data"

    def _configure(self, node: int) -> Path:
        """Write a node's properties; return the file."""
        path = self.processes[node].folder / "server.properties"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = self._addresses(node) | self._access(node) | self._bounds() | self.options
        path.touch(mode=0o600)
        path.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        return path

    def _addresses(self, node: int) -> dict[str, object]:
        voters = enumerate(self._controllers, 1)
        return {
            "process.roles": "broker,controller",
            "node.id": node + 1,
            "controller.quorum.voters": ",".join(f"{number}@127.0.0.1:{port}" for number, port in voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.ports[node]},CONTROLLER://127.0.0.1:{self._controllers[node]}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.ports[node]}",
            "log.dirs": self._data(node),
        }

    def _access(self, node: int) -> dict[str, object]:
        """Return the lines of the second port."""
        if not self.password:
            return {}
        plain, address = self._addresses(node), f"SECURE://127.0.0.1:{self._secure[node]}"
        pem = self.processes[node].folder / "tls.pem"
        pem.touch(mode=0o600)
        pem.write_text((self.folder / "tls.key").read_text() + self.certificate.read_text())
        module, mine = "org.apache.kafka.common.security", "listener.name.secure"
        return {
            "listeners": f"{plain['listeners']},{address}",
            "advertised.listeners": f"{plain['advertised.listeners']},{address}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
            "inter.broker.listener.name": "PLAINTEXT",
            f"{mine}.ssl.keystore.type": "PEM",
            f"{mine}.ssl.keystore.location": pem,
            f"{mine}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
            f"{mine}.plain.sasl.jaas.config": (
                f'{module}.plain.PlainLoginModule required user_{USER}="{self.password}";'
            ),
            f"{mine}.scram-sha-256.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
        }

    def _bounds(self) -> dict[str, object]:
        copies, in_sync = self.nodes, max(self.nodes - 1, 1)
        return {
            "num.partitions": 4,
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0,
            # A node that was killed comes back only when its old session is over: 9 s by default.
            "broker.session.timeout.ms": 3_000,
            "broker.heartbeat.interval.ms": 500,
            # A member that died is noticed within what a test can wait for.
            "group.min.session.timeout.ms": 1_000,
            "auto.create.topics.enable": "false",
            # Retention goes by the records' own times, and a replayed month is long past: nothing expires unless its
            # topic says so.
            "log.retention.ms": -1,
        }


def kafka_java() -> list[str]:
    """Return how a program of Kafka's is called; raise ServiceError when Kafka or Java is not installed."""
    place = [str(INFRA / "services.sh"), "where"]
    home = subprocess.run(["bash", *place], check=True, capture_output=True, text=True).stdout.strip()
    java = shutil.which("java", path=os.environ["JAVA_HOME"] + "/bin") if "JAVA_HOME" in os.environ else None
    java = java or shutil.which("java")
    if java is None or not (Path(home) / ".complete").exists():
        msg = f"Apache Kafka or Java is not installed (looked for Kafka in {home}): run {INSTALL}"
        raise ServiceError(msg)
    return [java, "-cp", f"{home}/*", f"-Dlog4j2.configurationFile={INFRA / 'kafka/log4j2.properties'}"]
