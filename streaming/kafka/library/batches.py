"""How kafka-python reads a batch of records, so that no record ends its reader.

Kafka takes any bytes for the name of a header. kafka-python 3.0.12 takes them for UTF-8 and raises for others; asked
again, its `poll` never returns. What a batch unpacks to it takes into memory whole, and some kilobytes may be
gigabytes. Here what is no UTF-8 of a name is question marks, and a batch that unpacks to more than `MOST_UNPACKED` is
read as so many records without a value, which say why. It is imported when something is connected.
"""

import gzip
import io
from collections.abc import Callable
from importlib import import_module
from typing import Any

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint, encode_varint

from streaming.kafka.client import UNPACKED

MOST_UNPACKED = 32 * 1024 * 1024
"""Bytes: thirty times what a broker takes for a batch as it is sent."""
PIECE = 1024 * 1024

OPENED: dict[int, Callable[[io.BytesIO], Any]] = {
    DefaultRecordBatch.CODEC_GZIP: lambda packed: gzip.GzipFile(fileobj=packed, mode="r"),
    DefaultRecordBatch.CODEC_LZ4: lambda packed: import_module("lz4.frame").open(packed),
    DefaultRecordBatch.CODEC_ZSTD: lambda packed: (
        import_module("zstandard").ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    ),
}
"""What unpacks piece by piece. Snappy, which is not here, makes no more than some twenty bytes of one."""


class TolerantBatch(DefaultRecordBatch):  # type: ignore[misc]
    """A batch whose records can all be read."""

    _buffer: bytearray
    _pos: int
    _decompressed: bool

    def _read_msg(self, *_: Any) -> Any:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            mend_names(self._buffer, self._pos)
            return super()._read_msg()

    def _maybe_uncompress(self) -> None:
        codec = self.compression_type
        if self._decompressed or codec not in OPENED:
            super()._maybe_uncompress()
            return
        self._assert_has_codec(codec)
        with OPENED[codec](io.BytesIO(self._buffer[self._pos :])) as file:
            unpacked = bounded(file)
        self._buffer = empty_records(self.records_count) if unpacked is None else unpacked
        self._pos, self._decompressed = 0, True


def install() -> None:
    """Let the consumers of this process read batches in this way."""
    memory_records.DefaultRecordBatch = TolerantBatch


def bounded(file: Any) -> bytearray | None:
    """Return all that a file of bytes holds, None when it holds more than `MOST_UNPACKED`."""
    found = bytearray()
    while piece := file.read(PIECE):
        found += piece
        if len(found) > MOST_UNPACKED:
            return None
    return found


def mend_names(buffer: bytearray, at: int) -> None:
    """Put question marks for what is no ASCII in the names of headers of the record at `at`, where one is no UTF-8."""
    for _ in ("length", "attributes", "time", "offset"):
        _, at = decode_varint(buffer, at)
    for _ in ("key", "value"):
        at = past(buffer, at)
    headers, at = decode_varint(buffer, at)
    for _ in range(headers):
        end = past(buffer, at)
        size, begin = decode_varint(buffer, at)
        name = buffer[begin:end]
        try:
            name.decode()
        except UnicodeDecodeError:
            buffer[begin:end] = bytes(each if each < 128 else ord("?") for each in name)
        at = past(buffer, begin + size)


def past(buffer: bytearray, at: int) -> int:
    """Return where bytes end whose length stands at `at`, -1 for none."""
    size, begin = decode_varint(buffer, at)
    return int(begin + max(size, 0))


def empty_records(count: int) -> bytearray:
    """Return so many records without key and value, with a header that says why, as they lie in a batch."""
    buffer, name, why = bytearray(), UNPACKED.encode(), f"more than {MOST_UNPACKED} bytes".encode()
    for offset in range(count):
        record = bytearray(b"\0\0")
        for number in (offset, -1, -1, 1, len(name)):
            encode_varint(number, record.append)
        record += name
        encode_varint(len(why), record.append)
        record += why
        encode_varint(len(record), buffer.append)
        buffer += record
    return buffer
