"""What holds for every service: ports, pid files, ends, and what is said when something is wrong."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.services import KafkaServer, RedisServer, ServiceError, free_ports
from infra.services.process import Process

ROOT = Path(__file__).parents[2]
OWNER = """
import sys, time
from pathlib import Path
from infra.services import RedisServer
print(RedisServer(Path(sys.argv[1])).start(tied=True).process.pid, flush=True)
time.sleep(600)
"""


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_free_ports_are_different_and_not_given_to_outgoing_connections() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert max(ports) < 32_768
    for port in ports:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))


def test_server_ends_when_the_process_it_is_tied_to_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        process = Process(tmp_path, "redis")
        assert process.pid == pid
        owner.kill()
        until(lambda: process.pid is None)


def test_pid_file_of_a_server_long_gone_ends_nobody_else(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        (tmp_path / "redis.pid").write_text(f"{stranger.pid} 1")
        process = Process(tmp_path, "redis")
        found = process.pid
        process.end(signal.SIGKILL)
        ended = stranger.poll()
        stranger.kill()
    assert (found, ended) == (None, None)


def test_port_in_use_is_said_before_anything_is_started(redis_server: RedisServer, tmp_path: Path) -> None:
    for server in (RedisServer(tmp_path / "r", redis_server.port), KafkaServer(tmp_path / "k", redis_server.port)):
        with pytest.raises(ServiceError, match=f"port {redis_server.port} for .* is in use: choose another"):
            server.start(tied=True)
    assert not list(tmp_path.iterdir())


def test_second_server_in_one_folder_is_refused(redis_server: RedisServer) -> None:
    with pytest.raises(ServiceError, match=f"already runs .* as process {redis_server.process.pid}: stop it first"):
        RedisServer(redis_server.folder).start(tied=True)


def test_server_that_cannot_start_says_why_from_its_log(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="appendfsync"):
        RedisServer(tmp_path, aof="never").start(tied=True)
    with pytest.raises(ServiceError, match="Invalid value many"):
        KafkaServer(tmp_path, options={"num.partitions": "many"}).start(tied=True)


def test_service_that_is_not_installed_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_KAFKA_HOME", str(tmp_path / "none"))
    with pytest.raises(ServiceError, match=r"Kafka.*run bash infra/services\.sh install"):
        KafkaServer(tmp_path / "k").start(tied=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceError, match=r"redis-server.*run bash infra/services\.sh install"):
        RedisServer(tmp_path / "r").start(tied=True)


def test_command_line_starts_shows_and_stops_by_folder(tmp_path: Path) -> None:
    def call(*words: str) -> dict[str, object]:
        command = [sys.executable, "-m", "infra.services", "redis", *words, "--data", str(tmp_path)]
        found: dict[str, object] = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
        return found

    started = call("start", "--aof", "no")
    shown = call("status")
    assert shown == {"running": [Process(tmp_path, "redis").pid], **started}
    assert call("kill") == {"running": []}
    assert call("status") == {"running": []}


def test_command_line_says_what_is_wrong_and_fails(redis_server: RedisServer, tmp_path: Path) -> None:
    port = str(redis_server.port)
    command = [sys.executable, "-m", "infra.services", "redis", "start", "--data", str(tmp_path), "--port", port]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"error: port {port} for Redis is in use: choose another with --port, or 0 for any free one\n"


def test_paused_process_lives_and_answers_when_woken(fresh_redis: Callable[..., RedisServer]) -> None:
    server = fresh_redis()
    server.process.pause()
    assert server.process.pid is not None
    server.process.wake()
    server.process.wait(server._answers)
    os.kill(server.process.pid, 0)
