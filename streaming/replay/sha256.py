"""SHA-256 whose state can be saved, so that a digest goes on after a crash without reading its input again.

Same result as `hashlib.sha256` (FIPS 180-4), whose objects cannot be saved; for digests, not for secrets.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from fraud.common.compiled import compiled

BLOCK = 64
_WORD = 0xFFFFFFFF


def _primes(count: int) -> list[int]:
    """Return the first primes."""
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _root(radicand: int, degree: int) -> int:
    """Return the whole part of a root, by bisection, exactly."""
    low, high = 0, radicand
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= radicand else (low, middle - 1)
    return low


# The standard's constants: 32 fractional bits of the square and cube roots of the first primes.
INITIAL = np.array([_root(prime << 64, 2) & _WORD for prime in _primes(8)], dtype=np.uint32)
ROUNDS = np.array([_root(prime << 96, 3) & _WORD for prime in _primes(64)], dtype=np.uint32)


@compiled
def _turn(word: np.uint32, places: int) -> np.uint32:
    """Rotate a 32-bit word right."""
    return np.uint32((word >> np.uint32(places)) | (word << np.uint32(32 - places)))


@compiled
def _expand(words: NDArray[np.uint32]) -> None:
    """Fill the message schedule's words 16 to 63."""
    for i in range(16, 64):
        near, far = words[i - 15], words[i - 2]
        low = _turn(near, 7) ^ _turn(near, 18) ^ (near >> np.uint32(3))
        high = _turn(far, 17) ^ _turn(far, 19) ^ (far >> np.uint32(10))
        words[i] = np.uint32(words[i - 16] + low + words[i - 7] + high)


@compiled
def _mix(state: NDArray[np.uint32], words: NDArray[np.uint32], rounds: NDArray[np.uint32]) -> None:
    """Mix one expanded block into the state."""
    a, b, c, d, e, f, g, h = state
    for i in range(64):
        choice = (e & f) ^ (~e & g)
        first = np.uint32(h + (_turn(e, 6) ^ _turn(e, 11) ^ _turn(e, 25)) + choice + rounds[i] + words[i])
        second = np.uint32((_turn(a, 2) ^ _turn(a, 13) ^ _turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c)))
        h, g, f, e = g, f, e, np.uint32(d + first)
        d, c, b, a = c, b, a, np.uint32(first + second)
    for i, word in enumerate((a, b, c, d, e, f, g, h)):
        state[i] = np.uint32(state[i] + word)


@compiled
def _compress(state: NDArray[np.uint32], data: NDArray[np.uint32], rounds: NDArray[np.uint32]) -> None:
    """Mix whole blocks, uint32 (blocks, 16), into the state in place."""
    words = np.empty(64, dtype=np.uint32)
    for block in range(data.shape[0]):
        words[:16] = data[block]
        _expand(words)
        _mix(state, words, rounds)


class Sha256:
    """A running SHA-256 with `snapshot` and `restore`."""

    def __init__(self) -> None:
        """Start with the empty input."""
        self._state = INITIAL.copy()
        self._tail = b""
        self._length = 0

    def update(self, data: bytes) -> None:
        """Append input."""
        self._length += len(data)
        self._tail = self._absorb(self._state, self._tail + data)

    def hexdigest(self) -> str:
        """Return the digest of the input so far, as hashlib writes it; more may follow."""
        state = self._state.copy()
        padding = b"\x80" + bytes(-(len(self._tail) + 9) % BLOCK) + struct.pack(">Q", 8 * self._length)
        self._absorb(state, self._tail + padding)
        return state.astype(">u4").tobytes().hex()

    def snapshot(self) -> bytes:
        """Return the whole state: 40 bytes and what does not yet fill a block."""
        return struct.pack(">Q", self._length) + self._state.astype(">u4").tobytes() + self._tail

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole state."""
        (self._length,) = struct.unpack_from(">Q", snapshot)
        self._state = np.frombuffer(snapshot, dtype=">u4", count=8, offset=8).astype(np.uint32)
        self._tail = snapshot[40:]

    @staticmethod
    def _absorb(state: NDArray[np.uint32], data: bytes) -> bytes:
        """Mix the whole blocks of `data` into `state`; return the rest."""
        blocks = len(data) // BLOCK
        if blocks:
            words = np.frombuffer(data, dtype=">u4", count=16 * blocks).astype(np.uint32)
            _compress(state, words.reshape(blocks, 16), ROUNDS)
        return data[blocks * BLOCK :]
