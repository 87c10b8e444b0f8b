"""A Redis server of our own."""

import contextlib
import os
import shutil
import signal
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

from infra.services.certificate import make_certificate
from infra.services.process import INSTALL, Process, ServiceError, free_ports, need_free


class RedisServer:
    """A Redis server with its append-only file."""

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        aof: str = "everysec",
        password: str = "",
        tls: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Choose the folder, the port (0: any free one) and what the server asks of its clients.

        Args:
            folder: data, log and pid file; a folder used before brings its data back.
            port: port on the loopback address.
            aof: when the append-only file is synced: everysec, always, or no for no such file.
            password: what clients must give; empty for none.
            tls: speak TLS only, with a certificate made in the folder.
            options: further lines of redis.conf, such as {"cluster-enabled": "yes"}.
        """
        self.folder = folder.resolve()
        # A cluster's nodes talk on a second port; the usual one, 10,000 higher, may be some client's own.
        self.port, self.bus = free_ports(2)
        self.port = port or self.port
        self.aof, self.password, self.tls = aof, password, tls
        self.options = dict(options or {})
        if self.options.get("cluster-enabled") == "yes":
            self.options.setdefault("cluster-port", str(self.bus))
        self.process = Process(self.folder, "redis")

    @property
    def url(self) -> str:
        """Return the address as clients take it; over TLS it names the file of the authority to trust."""
        login = f":{self.password}@" if self.password else ""
        kind, trust = ("rediss", f"?ssl_ca_certs={self.certificate}") if self.tls else ("redis", "")
        return f"{kind}://{login}127.0.0.1:{self.port}/0{trust}"

    @property
    def certificate(self) -> Path:
        """Return the file of the certificate, which signs itself."""
        return self.folder / "tls.crt"

    def start(self, *, tied: bool = False) -> "RedisServer":
        """Start it on its data; return when it answers. `tied` ends it with the caller."""
        if shutil.which("redis-server") is None:
            msg = f"redis-server is not installed: run {INSTALL}"
            raise ServiceError(msg)
        self.process.need_stopped()
        need_free(self.port, "Redis")
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.tls:
            make_certificate(self.folder)
        self.process.start(["redis-server", *self._arguments()], tied=tied)
        self.process.wait(self._answers)
        return self

    def stop(self) -> None:
        """End it in good order."""
        self.process.end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.process.end(signal.SIGKILL)

    def restart(self, *, tied: bool = True) -> "RedisServer":
        """End it in good order and start it again on the same port and data."""
        self.stop()
        return self.start(tied=tied)

    def cut_aof(self, count: int) -> int:
        """Cut bytes off the end of the append-only file, as a power cut may; return how many are left.

        Raises:
            ServiceError: while the server runs.
        """
        self.process.need_stopped()
        left = max(self.aof_bytes() - count, 0)
        os.truncate(self._aof_parts()[-1], left)
        return left

    def aof_bytes(self) -> int:
        """Return the size of the newest part of the append-only file."""
        parts = self._aof_parts()
        return parts[-1].stat().st_size if parts else 0

    def _aof_parts(self) -> list[Path]:
        return sorted(
            (self.folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[-3])
        )

    def _arguments(self) -> list[str]:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no" if self.aof == "no" else "yes",
            "appendfsync": "everysec" if self.aof == "no" else self.aof,
            "aof-load-truncated": "yes",
            # Rows are written whole: with the default of 64 MB the file would be written anew every few seconds.
            "auto-aof-rewrite-min-size": "1gb",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        if self.password:
            options["requirepass"] = self.password
        if self.tls:
            options |= {"port": "0", "tls-port": str(self.port), "tls-auth-clients": "no"}
            options |= {"tls-cert-file": str(self.certificate), "tls-key-file": str(self.folder / "tls.key")}
            options |= {"tls-ca-cert-file": str(self.certificate)}
        options |= self.options
        return [word for key, value in options.items() for word in (f"--{key}", value)]

    def _answers(self) -> bool:
        """Tell whether this very process answers, its data loaded: another could have taken the port."""
        login = [("AUTH", self.password)] if self.password else []
        with contextlib.suppress(OSError), self._connect() as line:
            line.settimeout(1.0)
            line.sendall(b"".join(encode(*words) for words in (*login, ("PING",), ("INFO", "server"), ("QUIT",))))
            said = b"".join(iter(lambda: line.recv(65_536), b"")).decode()
            return "+PONG" in said and f"process_id:{self.process.pid}\r" in said
        return False

    def _connect(self) -> socket.socket:
        line = socket.create_connection(("127.0.0.1", self.port), 0.5)
        if not self.tls:
            return line
        return ssl.create_default_context(cafile=str(self.certificate)).wrap_socket(line, server_hostname="127.0.0.1")


def encode(*words: str) -> bytes:
    """Return a command as Redis reads it, whatever characters are in its words."""
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
