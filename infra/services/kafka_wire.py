"""The one request of Kafka's protocol that tells whether a broker serves, without a client library."""

import contextlib
import socket
import struct

METADATA, VERSION = 3, 4
# length is put before it; then key, version, correlation id, client id; no topics; do not create any
_ASK = struct.pack(">hhih5si?", METADATA, VERSION, 1, 5, b"ready", 0, False)


def brokers(port: int) -> set[int]:
    """Return the ids of the live brokers that the broker at a port knows of; none when it does not serve yet."""
    with contextlib.suppress(OSError, struct.error), socket.create_connection(("127.0.0.1", port), 0.5) as line:
        line.settimeout(2.0)
        line.sendall(struct.pack(">i", len(_ASK)) + _ASK)
        (size,) = struct.unpack(">i", _take(line, 4))
        return _ids(_take(line, size))
    return set()


def _take(line: socket.socket, size: int) -> bytes:
    """Read exactly `size` bytes, or what came before the other side hung up."""
    data = b""
    while len(data) < size and (part := line.recv(size - len(data))):
        data += part
    return data


def _ids(answer: bytes) -> set[int]:
    """Read broker ids from a Metadata response of version 4."""
    at, found = 12, set()  # behind correlation id, throttle time and the number of brokers
    for _ in range(struct.unpack_from(">i", answer, 8)[0]):
        number, host = struct.unpack_from(">ih", answer, at)
        at += 4 + 2 + host + 4  # id, host, port
        (rack,) = struct.unpack_from(">h", answer, at)
        at += 2 + max(rack, 0)
        found.add(number)
    return found
