"""One topic's log in a folder: segments of framed records, appended to by one process, read by others meanwhile.

A segment is named by the offset of its first record. A frame is the length of its body and the body's CRC-32 (u32
each, little-endian), then the body: msgpack of time, key, value, headers. What stands at the end of the newest segment
and is no whole frame is not there: readers wait, for it may be under way, and the next writer cuts it off.

What was appended has been handed to the operating system, so it outlives a kill of the writer. Nothing is synced to the
disk: after a power cut the newest records may be gone, and what is left is whole.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from zlib import crc32

import msgspec

from fraud.common import locks
from fraud.common.files import PRIVATE
from fraud.core.errors import DataError, DeliveryError
from streaming.messages.envelope import Headers

HEAD = struct.Struct("<II")
SUFFIX, LOCK = ".seg", "writer.lock"
DIGITS = 20
CHUNK = 1 << 20
MOST_BYTES = 1 << 24
"""What the body of one record may take: a length beyond it is no length."""

Fields = tuple[int, bytes, bytes, Headers]
_fields: msgspec.msgpack.Decoder[Fields] = msgspec.msgpack.Decoder(Fields)
_encode = msgspec.msgpack.Encoder().encode


def framed(at: int, key: bytes, value: bytes, headers: Headers) -> bytes:
    """Return a record written at `at` (ns since the epoch) as a frame; raise DeliveryError when it is too large."""
    body = _encode((at, key, value, headers))
    if len(body) > MOST_BYTES:
        msg = f"a record of {len(body)} bytes was not written: expected at most {MOST_BYTES}"
        raise DeliveryError(msg)
    return HEAD.pack(len(body), crc32(body)) + body


def fields_in(body: bytes) -> Fields:
    """Return time, key, value and headers of a frame's body; raise DataError when they are not in it."""
    try:
        return _fields.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        msg = f"a record of the log cannot be read ({error}): another release wrote it; empty the folder"
        raise DataError(msg) from error


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the end and the body of each whole frame, up to the first that is not whole."""
    at = 0
    while (end := end_of(data, at)) <= len(data):
        body = data[at + HEAD.size : end]
        # A file that was made longer and not written to reads as zeros: no frame is empty.
        if not body or crc32(body) != HEAD.unpack_from(data, at)[1]:
            return
        yield end, body
        at = end


def end_of(data: bytes, at: int) -> int:
    """Return where the frame that begins at `at` ends, by its length; beyond the data when that is not all there."""
    if len(data) - at < HEAD.size:
        return len(data) + HEAD.size
    return at + HEAD.size + int(HEAD.unpack_from(data, at)[0])


def segments(folder: Path) -> list[int]:
    """Return the first offsets of a topic's segments, in order; none when there is no such topic."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    stems = (name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))
    return sorted(int(stem) for stem in stems if stem.isdigit())


def path_of(folder: Path, first: int) -> Path:
    """Return the file of the segment that begins with an offset."""
    return folder / f"{first:0{DIGITS}}{SUFFIX}"


class Cursor:
    """A place in a topic's log: `next` is the offset of the record behind it, `at` where its segment goes on."""

    def __init__(self, folder: Path) -> None:
        """Stand before the oldest record, should there be one some day."""
        self._folder = folder
        self._file = self._first = -1
        self.at = self.next = 0

    def seek(self, offset: int | None) -> None:
        """Stand before the record of an offset, before the oldest one for None or an offset that is not there."""
        self.close()
        found = segments(self._folder)
        begins = [first for first in found if offset is not None and first <= offset]
        if offset is None or not begins:
            self._open(found[:1])
            return
        self._open(begins[-1:])
        while self.next < offset and self.read(offset - self.next):
            pass
        if self.next != offset:
            # The log was made anew since: what was read of the former one says nothing of this one.
            self._open(found[:1])

    def seek_end(self) -> None:
        """Stand behind the newest record."""
        self.close()
        self._open(segments(self._folder)[-1:])
        self.skip()

    def skip(self) -> None:
        """Move on behind the newest record."""
        while self.read(CHUNK):
            pass

    @property
    def is_open(self) -> bool:
        """Tell whether there is such a topic."""
        return self._file >= 0

    def read(self, most: int) -> list[tuple[int, bytes]]:
        """Return the next records, each with its offset, and move behind them; empty when there is none yet."""
        while not (found := self._read(most)):
            if not self._move_on():
                return []
        return found

    def close(self) -> None:
        """Release the segment; the offset is kept."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read(self, most: int) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        if self._file < 0:
            return found
        begin = self.at
        for end, body in frames(self._data(CHUNK)):
            found.append((self.next, body))
            self.at = begin + end
            self.next += 1
            if len(found) == most:
                break
        return found

    def _data(self, size: int) -> bytes:
        """Return so many bytes from here on, as far as they are there, or the frame here when that is longer."""
        ahead = os.fstat(self._file).st_size - self.at
        data = os.pread(self._file, min(size, ahead), self.at) if ahead > 0 else b""
        if size < (wanted := end_of(data, 0)) <= MOST_BYTES + HEAD.size:
            return os.pread(self._file, wanted, self.at)
        return data

    def _move_on(self) -> bool:
        """Go to the segment behind this one, where there is one; tell whether there is something new to look at."""
        if self._file < 0:
            return self._open(segments(self._folder)[:1])
        # A segment begins where the one before it has ended for good, so its name says that all of that was read.
        if self.next != self._first and path_of(self._folder, self.next).exists():
            return self._open([self.next])
        if os.fstat(self._file).st_nlink == 0:
            return self._let_go()
        if os.fstat(self._file).st_size > self.at:
            self._need_newest()
        return False

    def _let_go(self) -> bool:
        """Go to the oldest record behind a segment that was dropped; to the oldest of all where the log is new."""
        found = segments(self._folder)
        later = [first for first in found if first >= self.next]
        return self._open((later or found)[:1])

    def _need_newest(self) -> None:
        """Raise DataError when what is no frame stands in a segment that nobody writes to any more."""
        is_old = any(first > self._first for first in segments(self._folder))
        # Looked at once more: it may have been finished, and the next one begun, since.
        if is_old and next(frames(self._data(CHUNK)), None) is None:
            path = path_of(self._folder, self._first)
            msg = f"{path} is damaged at byte {self.at}: remove it, or empty the folder"
            raise DataError(msg)

    def _open(self, firsts: Sequence[int]) -> bool:
        """Stand at the begin of a segment, of none for an empty list; tell whether it is there."""
        self.close()
        for first in firsts:
            try:
                self._file = os.open(path_of(self._folder, first), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
            self._first = self.next = first
            self.at = 0
        return bool(firsts)


class Writer:
    """Appends to a topic's log; `next` is the offset of the next record. One at a time, by a lock of the kernel."""

    def __init__(self, folder: Path, segment_bytes: int, keep_bytes: int) -> None:
        """Take the lock, cut off what the writer before has not finished, and go on behind its last record.

        Segments grow to some `segment_bytes`. Old ones are dropped while the others hold `keep_bytes`; 0 keeps all.

        Raises:
            DeliveryError: when another process writes to the topic.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._segment_bytes, self._keep_bytes = folder, segment_bytes, keep_bytes
        self._lock = locks.take(folder / LOCK, self._refuse)
        cursor = Cursor(folder)
        cursor.seek_end()
        self.next, self._size = cursor.next, cursor.at
        cursor.close()
        self._file = self._opened(segments(folder)[-1:] or [0])
        os.ftruncate(self._file, self._size)

    def append(self, records: Sequence[bytes]) -> int:
        """Append frames; return the offset of the first.

        Raises:
            DeliveryError: when not all could be written; those before are there.
        """
        if self._size >= self._segment_bytes:
            self._begin_segment()
        first, data = self.next, b"".join(records)
        written = self._written(data)
        for each in records:
            if written < len(each):
                os.ftruncate(self._file, self._size)
                there = f"{self.next - first} of {len(records)} records"
                msg = f"{self._folder} takes no more, {there} were written: make room on the disk"
                raise DeliveryError(msg)
            written -= len(each)
            self._size += len(each)
            self.next += 1
        return first

    def close(self) -> None:
        """Let the topic go; a second call does nothing."""
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1

    def _written(self, data: bytes) -> int:
        """Write as much as goes; return how many bytes that was."""
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self._file, data[done:], self._size + done)
        except OSError:
            return done
        return done

    def _begin_segment(self) -> None:
        os.close(self._file)
        self._file, self._size = self._opened([self.next]), 0
        if self._keep_bytes:
            self._drop()

    def _drop(self) -> None:
        """Remove the oldest segments while those behind them hold enough."""
        found = [path_of(self._folder, first) for first in segments(self._folder)]
        sizes = [path.stat().st_size for path in found]
        for place, path in enumerate(found[:-1]):
            if sum(sizes[place + 1 :]) < self._keep_bytes:
                return
            path.unlink()

    def _opened(self, firsts: Sequence[int]) -> int:
        return os.open(path_of(self._folder, firsts[0]), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)

    def _refuse(self) -> None:
        msg = f"another process writes to {self._folder}: a topic of a log has one writer; end that process first"
        raise DeliveryError(msg)
