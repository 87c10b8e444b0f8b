"""The installer, against package tools of our own: what it fetches once, and what it says when it cannot."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASICS = "bash cat cut date dirname env head id ls mkdir mktemp mv rm sed sort tail touch"
VERSION = re.findall(r"<version>(\d+\.\d+\.\d+)</version>", (ROOT / "infra/kafka/pom.xml").read_text())[0]


class Machine:
    """A machine that has just the programs a test gives it."""

    def __init__(self, folder: Path) -> None:
        self.programs, self.home, self.calls = folder / "bin", folder / "cache/kafka", folder / "calls"
        self.programs.mkdir()
        for name in BASICS.split():
            (self.programs / name).symlink_to(str(shutil.which(name)))

    def give(self, name: str, does: str) -> None:
        path = self.programs / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls}\n{does}\n')
        path.chmod(0o755)

    def install(self) -> "subprocess.CompletedProcess[str]":
        known = {"PATH": str(self.programs), "HOME": str(self.home), "FRAUD_KAFKA_HOME": str(self.home)}
        known["FRAUD_POSTGRES_HOME"] = str(self.home)
        command = [str(self.programs / "bash"), str(ROOT / "infra/services.sh"), "install"]
        return subprocess.run(command, env=known, capture_output=True, text=True, check=False)

    def called(self, name: str) -> int:
        return self.calls.read_text().count(f"{name} ") if self.calls.exists() else 0


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with everything but Kafka; its Maven brings one empty jar."""
    made = Machine(tmp_path)
    made.give("redis-server", "echo 'Redis server v=7.0.15 sha=0'")
    made.give("java", "echo 'openjdk version \"17.0.15\" 2025-04-15' >&2")
    made.give("openssl", "true")
    made.give("chromium", "true")
    made.give("postgres", "echo 'postgres (PostgreSQL) 15.16 (Debian 15.16-0+deb12u1)'")
    made.give("mvn", f'for word; do case $word in -Dout*) touch "${{word#*=}}/kafka_2.13-{VERSION}.jar";; esac; done')
    return made


def test_install_fetches_kafka_once(machine: Machine) -> None:
    first, second = machine.install(), machine.install()
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert machine.called("mvn") == 1
    assert "fetching" not in second.stderr
    assert (machine.home / f"kafka_2.13-{VERSION}.jar").exists()
    assert [path.name for path in machine.home.parent.iterdir()] == ["kafka"]


@pytest.mark.parametrize("maven", ["exit 1", "true"])
def test_install_that_brings_no_kafka_leaves_nothing_behind_and_fails(machine: Machine, maven: str) -> None:
    machine.give("mvn", maven)
    done = machine.install()
    assert done.returncode == 1
    assert "Maven" in done.stderr
    assert not list(machine.home.parent.iterdir())


def test_install_takes_the_place_of_a_folder_left_half_done(machine: Machine) -> None:
    machine.home.mkdir(parents=True)
    (machine.home / "half.jar").touch()
    assert machine.install().returncode == 0
    assert not (machine.home / "half.jar").exists()


def test_install_without_apt_names_what_is_missing_and_the_repair(machine: Machine) -> None:
    machine.give("redis-server", "echo 'Redis server v=6.2.1 sha=0'")
    (machine.programs / "mvn").unlink()
    done = machine.install()
    assert done.returncode == 1
    assert "missing: redis-server maven. There is no apt-get here: install Redis 7 or later" in done.stderr


def test_install_takes_missing_packages_from_apt(machine: Machine) -> None:
    machine.give("java", "echo 'openjdk version \"11.0.1\" 2019' >&2")
    machine.give("apt-cache", '[ "$2" = openjdk-21-jre-headless ]')
    newer = 'echo "openjdk version \\"21.0.1\\" 2024" >&2'
    machine.give(
        "apt-get", f"""case "$*" in *openjdk-21*) printf '#!/bin/sh\\n{newer}\\n' > {machine.programs}/java;; esac"""
    )
    machine.give("sudo", 'exec "$@"')
    done = machine.install()
    assert done.returncode == 0, done.stderr
    assert "installing java with apt-get" in done.stderr
    assert "--no-install-recommends openjdk-21-jre-headless" in machine.calls.read_text()


def test_install_says_when_the_system_has_only_an_old_redis(machine: Machine) -> None:
    machine.give("redis-server", "echo 'Redis server v=6.2.1 sha=0'")
    machine.give("apt-get", "true")
    machine.give("sudo", 'exec "$@"')
    done = machine.install()
    assert done.returncode == 1
    assert "Redis 7 or later is needed, this system's package is 6" in done.stderr


@pytest.mark.parametrize(("gone", "package"), [("postgres", "postgresql"), ("chromium", "chromium")])
def test_install_takes_what_the_console_needs(machine: Machine, gone: str, package: str) -> None:
    (machine.programs / gone).unlink()
    machine.give(
        "apt-get", f"printf '#!/bin/sh\\necho 15' > {machine.programs}/{gone}; chmod +x {machine.programs}/{gone}"
    )
    (machine.programs / "chmod").symlink_to(str(shutil.which("chmod")))
    machine.give("sudo", 'exec "$@"')
    done = machine.install()
    assert done.returncode == 0, done.stderr
    assert f"--no-install-recommends {package}" in machine.calls.read_text()


def test_install_says_when_the_system_has_only_an_old_postgresql(machine: Machine) -> None:
    machine.give("postgres", "echo 'postgres (PostgreSQL) 13.4'")
    machine.give("apt-get", "true")
    machine.give("sudo", 'exec "$@"')
    done = machine.install()
    assert done.returncode == 1
    assert "PostgreSQL 15 or later is needed, this system's package is 13" in done.stderr


def test_containers_run_the_versions_that_the_installer_fetches() -> None:
    text = (ROOT / "infra/compose.yaml").read_text()
    images = re.findall(r"image: (\S+)", text)
    assert images == [f"apache/kafka:{VERSION}", "redis:7", "postgres:17"]
    assert text.count("healthcheck:") == len(images)
    assert f"Apache Kafka {VERSION}" in (ROOT / "infra/README.md").read_text()


def test_installer_is_executable() -> None:
    assert os.access(ROOT / "infra/services.sh", os.X_OK)
