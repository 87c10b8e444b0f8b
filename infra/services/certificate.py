"""A certificate that signs itself, for servers on the loopback address."""

import shutil
import subprocess
from pathlib import Path

from infra.services.process import INSTALL, ServiceError


def make_certificate(folder: Path) -> None:
    """Write tls.key and tls.crt, good for the loopback address, unless they are there.

    Raises:
        ServiceError: openssl is not installed.
    """
    if (folder / "tls.crt").exists():
        return
    if shutil.which("openssl") is None:
        msg = f"openssl is not installed: run {INSTALL}"
        raise ServiceError(msg)
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subprocess.run(["openssl", *words.split(), *names, *files], check=True, capture_output=True)
