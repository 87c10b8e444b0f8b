"""A PostgreSQL server of our own."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from infra.services.process import INSTALL, Process, ServiceError, birth, free_ports, need_free

USER, DATABASE = "fraud", "fraud"
LEAST = 15
DEBIAN = "/usr/lib/postgresql"
ACCOUNTS = "postgres", "nobody"
"""Whom it runs as where the caller is root, which PostgreSQL refuses."""
LONGEST_SOCKET = 90
"""Bytes of a folder in which a socket can still have a name; the kernel's limit is 107 with it."""


class PostgresServer:
    """A PostgreSQL server with one database, `fraud`, and one user of that name."""

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        sync: bool = False,
        password: str = "",
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Choose the folder, the port (0: any free one) and how careful it is.

        Args:
            folder: data, log and pid file; a folder used before brings its data back. Where the caller is root every
                folder above must let others through, for the server is another user.
            port: port on the loopback address; the same in the name of the socket in the folder.
            sync: whether a commit waits for the disk. Without it a commit survives kill -9 of the server, as the
                kernel has it, and is several times as fast; a power cut may lose all. For tests, not for a site.
            password: what clients must give; empty for none, which lets in whoever is on this machine.
            options: further settings of postgresql.conf.
        """
        self.folder = folder.resolve()
        self.port = port or free_ports(1)[0]
        self.sync, self.password, self.options = sync, password, dict(options or {})
        self.process = Process(self.folder, "postgres")

    @property
    def url(self) -> str:
        """Return the address as clients take it."""
        login = f"{USER}:{self.password}" if self.password else USER
        return f"postgresql://{login}@127.0.0.1:{self.port}/{DATABASE}"

    def start(self, *, tied: bool = False) -> "PostgresServer":
        """Start it on its data, which are made where there are none; return when it answers.

        `tied` ends it with the caller.
        """
        self.process.need_stopped()
        need_free(self.port, "PostgreSQL")
        self.folder.mkdir(parents=True, exist_ok=True)
        new = not (self._data / "PG_VERSION").exists()
        if new:
            self._make()
        self.process.start([*self._as_user(tied=tied), *self._command()], tied=tied)
        self.process.wait(self._answers)
        if new:
            self._run("createdb", "--host=127.0.0.1", f"--port={self.port}", f"--username={USER}", DATABASE)
        return self

    def stop(self) -> None:
        """End it in good order; sessions are closed."""
        self.process.end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once, with all its sessions, as a crash does."""
        sessions = children_of(self.process.pid)
        self.process.end(signal.SIGKILL)
        for pid in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # While one of them holds the shared memory, the data cannot be used again.
        while any(birth(pid) is not None for pid in sessions):
            time.sleep(0.01)

    def restart(self, *, tied: bool = True) -> "PostgresServer":
        """End it in good order and start it again on the same port and data."""
        self.stop()
        return self.start(tied=tied)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _make(self) -> None:
        """Make the data; a half-made folder of a start that was cut off goes."""
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700)
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        if (account := account_for_root()) is not None:
            for path in (self.folder, self._data, secret):
                shutil.chown(path, account.pw_uid, account.pw_gid)
        kind = ["--auth=scram-sha-256", f"--pwfile={secret}"] if self.password else ["--auth=trust"]
        self._run("initdb", f"--pgdata={self._data}", f"--username={USER}", "--locale=C", "--encoding=UTF8",
                  "--no-sync", "--no-instructions", *kind)  # fmt: skip
        secret.unlink()

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as the server's user; raise ServiceError with what it said."""
        command = [*self._as_user(), str(programs() / program), *arguments]
        known = {**os.environ, "PGPASSWORD": self.password}
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=known)
        if done.returncode:
            msg = f"{program} in {self.folder} failed:\n{done.stderr[-2_000:]}"
            if account_for_root() is not None and "Permission denied" in done.stderr:
                msg += "\nroot gives the server to another user: choose a folder below one that lets others through"
            raise ServiceError(msg)

    def _as_user(self, *, tied: bool = False) -> list[str]:
        """Return what a command begins with where the caller is root."""
        if (account := account_for_root()) is None:
            return []
        ends = ["--pdeathsig=KILL"] if tied else []  # the kernel forgets that wish with a change of user
        return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups", *ends, "--"]

    def _command(self) -> list[str]:
        sockets = str(self.folder) if len(os.fsencode(self.folder)) <= LONGEST_SOCKET else ""
        careful = "on" if self.sync else "off"
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": sockets,
            "fsync": careful,
            "full_page_writes": careful,
            # Compiling a query takes longer than any of ours.
            "jit": "off",
            "max_wal_size": "1GB",
            **self.options,
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(programs() / "postgres"), "-D", str(self._data), *words]

    def _answers(self) -> bool:
        """Tell whether this very process answers: another could have taken the port."""
        ready = [str(programs() / "pg_isready"), "--host=127.0.0.1", f"--port={self.port}", "--timeout=1", "--quiet"]
        if subprocess.run(ready, check=False).returncode:
            return False
        told = (self._data / "postmaster.pid").read_text().splitlines()
        return bool(told) and int(told[0]) == self.process.pid


def children_of(pid: int | None) -> list[int]:
    """Return the processes that a process has started and that live (Linux; elsewhere none is known)."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def programs() -> Path:
    """Return the folder of PostgreSQL's programs; raise ServiceError where there is none that is new enough."""
    debian = Path(os.environ.get("FRAUD_POSTGRES_HOME", DEBIAN))
    newest = max((int(path.parts[-3]) for path in debian.glob("[0-9]*/bin/postgres")), default=0)
    if newest >= LEAST:
        return debian / str(newest) / "bin"
    if (found := shutil.which("postgres")) is not None:
        return Path(found).resolve().parent
    msg = f"PostgreSQL {LEAST} or later is not installed: run {INSTALL}"
    raise ServiceError(msg)


def account_for_root() -> pwd.struct_passwd | None:
    """Return whom the server runs as where the caller is root, None where it runs as the caller."""
    if os.geteuid() != 0:
        return None
    known = {each.pw_name: each for each in pwd.getpwall()}
    account = next((known[name] for name in ACCOUNTS if name in known), None)
    if account is None or shutil.which("setpriv") is None:
        msg = "PostgreSQL does not run as root, and user 'postgres' or program 'setpriv' is missing: be another user"
        raise ServiceError(msg)
    return account
