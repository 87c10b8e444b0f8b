"""One server process in one folder: its pid file, its log, its port, its end."""

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

INSTALL = "bash infra/services.sh install"
READY_SECONDS = 60.0
STOP_SECONDS = 30.0
# Below the range that outgoing connections take their own ports from (32768 and up on Linux, 49152 on others): a client
# that calls a dead server again and again would in the end be given that very port, and keep the server off it.
PORTS = range(20_000, 32_000)
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class ServiceError(RuntimeError):
    """A service could not be started or used; the message says why and what to do."""


def free_ports(count: int) -> list[int]:
    """Return different ports of the loopback address that nothing listens on."""
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in random.sample(PORTS, len(PORTS)):
            held = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                held.bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == count:
                return found
    msg = f"no {count} free ports in {PORTS.start}-{PORTS.stop}: end what listens there, or name ports"
    raise ServiceError(msg)


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


def _die_with(parent: int) -> None:
    """Ask the kernel to end this process when its parent is gone (Linux; elsewhere nothing happens)."""
    with contextlib.suppress(AttributeError):
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def birth(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks ("" where it does not say); None when it is gone."""
    try:
        os.kill(pid, 0)
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # The first thread may be dead before others that still hold the port.
        dead = state == "Z" and len(list(Path(f"/proc/{pid}/task").iterdir())) < 2
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else ""
    except (ProcessLookupError, PermissionError):
        return None
    return None if dead else rest[18]


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
        if self._child is not None:
            return self._child.pid if self._child.poll() is None else None
        try:
            pid, _, born = self._pid_file.read_text().partition(" ")
            # The id of a server long gone may be another process's by now.
            return int(pid) if birth(int(pid)) == born else None
        except (FileNotFoundError, ValueError):
            return None

    def need_stopped(self) -> None:
        """Raise ServiceError while the process runs."""
        if (pid := self.pid) is not None:
            msg = f"{self.name} already runs in {self.folder} as process {pid}: stop it first"
            raise ServiceError(msg)

    def start(self, command: list[str], *, tied: bool) -> None:
        """Start it; `tied` ends it with the thread that called, or with this process (Linux), even by kill -9."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=partial(_die_with, os.getpid()) if tied else None,
            )
        self._pid_file.write_text(f"{self._child.pid} {birth(self._child.pid) or ''}")

    def wait(self, ready: Callable[[], bool]) -> None:
        """Return when `ready` holds; raise ServiceError with the log's end when the process is gone or time is up."""
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until and self.pid is not None:
            if ready():
                return
            time.sleep(0.02)
        why = "ended" if self.pid is None else f"did not answer within {READY_SECONDS:.0f} s"
        tail = self.log.read_text(errors="replace")[-2_000:] if self.log.exists() else ""
        msg = f"{self.name} in {self.folder} {why}; the end of {self.log}:\n{tail}"
        self.send(signal.SIGKILL)
        raise ServiceError(msg)

    def send(self, how: signal.Signals) -> None:
        """Send a signal, to nobody when it does not run."""
        if (pid := self.pid) is not None:
            os.kill(pid, how)

    def gone(self) -> None:
        """Return when the process is gone; what does not go in time is killed."""
        until = time.monotonic() + STOP_SECONDS
        while self.pid is not None:
            if time.monotonic() > until:
                self.send(signal.SIGKILL)
            time.sleep(0.01)
        self._pid_file.unlink(missing_ok=True)

    def end(self, how: signal.Signals) -> None:
        """Send a signal that ends it, and return when it is gone."""
        self.send(how)
        self.gone()

    def pause(self) -> None:
        """Stop the process without ending it."""
        self.send(signal.SIGSTOP)

    def wake(self) -> None:
        """Let a paused process go on."""
        self.send(signal.SIGCONT)
