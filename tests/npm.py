"""Packages of npm, for what only a browser's own tools can tell; fetched once and kept under `build/`."""

import shutil
import subprocess
import tarfile

import pytest

from tests.tree import ROOT

KEPT = ROOT / "build" / "npm"


def file_of(name: str, version: str, path: str) -> bytes:
    """Return a file of a package; skip the test, with the reason, where npm or its registry is not reached."""
    packed = KEPT / f"{name}-{version}.tgz"
    if not packed.exists():
        _fetch(name, version)
    with tarfile.open(packed) as package:
        held = package.extractfile(path)
        assert held is not None
        return held.read()


def _fetch(name: str, version: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not here: what its packages hold cannot be asked")
    KEPT.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", "--silent", "--pack-destination", str(KEPT), f"{name}@{version}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=KEPT, check=False, timeout=120)
    if done.returncode:
        pytest.skip(f"the registry of npm is not reached: {done.stderr.strip()[-200:]}")
