"""Columns to bytes and back: one segment of tape.

A segment opens alone. Its blob is the frames of its columns laid end to end, each
`kind (u8), itemsize (u8), payload length (u32, little-endian), payload`:

- `CONSTANT`: every row is the same; the payload is one row.
- `PLANES`: byte 0 of all numbers, then byte 1, ...; zstd. Numbers of one column share
  their high bytes, so planes compress where interleaved bytes do not.
- `TABLE`: rows that belong to a state (the Q-values of an observation): each is XORed
  with the row last seen for the same state, which leaves zeros wherever the table did
  not change; then as planes. Exact for any bits, NaN included.
- `PACKED`: u32 lengths, then the bytes of all rows; zstd.

Integers are stored in the fewest bytes that hold the segment's values. Frames stand in
the order of the layout: step columns, then `ends` (the row after each episode's last
step, counted from the segment's start), `flags`, then the final observations.
"""

from __future__ import annotations

import math
import struct
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zstandard

from recorder.columns import Column
from recorder.errors import DamagedTape
from recorder.hints import reel_command
from recorder.layout import Layout

CODEC = 1
LEVEL = 1
CONSTANT, PLANES, TABLE, PACKED_ROWS = 0, 1, 2, 3
MAX_FRAME = 1 << 28
_FEW = 16

TERMINATED, TRUNCATED, INCOMPLETE, NO_FINAL = 1, 2, 4, 8

_HEAD = struct.Struct("<BBI")
_PREFIX = struct.Struct("<qqqd")

Array = np.ndarray[Any, Any]


@dataclass
class Segment:
    """A contiguous piece of tape, decoded.

    Attributes:
        first_step: global step of row 0.
        columns: step columns by name, each `(count, ...)`.
        ends: row after the last step of each episode that ends here, `(n,)`, rising.
        flags: one byte for each end: `TERMINATED | TRUNCATED | INCOMPLETE | NO_FINAL`.
        finals: the final observation's columns by name, each `(n, ...)`.
    """

    first_step: int
    columns: dict[str, Array]
    ends: Array = field(default_factory=lambda: np.empty(0, np.int64))
    flags: Array = field(default_factory=lambda: np.empty(0, np.uint8))
    finals: dict[str, Array] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Steps in the segment."""
        return len(self.columns["reward"])


def checksum(
    first_step: int, count: int, codec: int, blob: bytes, return_before: float = 0.0
) -> int:
    """CRC-32 over everything that places and decodes a segment."""
    # One NaN of many; and SQLite does not keep the sign of a zero.
    before = return_before + 0.0 if return_before == return_before else math.nan
    return zlib.crc32(blob, zlib.crc32(_PREFIX.pack(first_step, count, codec, before)))


def open_row(
    layout: Layout,
    first_step: int,
    count: int,
    return_before: float | None,
    codec: int,
    check: int,
    blob: bytes,
) -> Segment:
    """Return the segment of a row of table `segments`.

    Raises:
        DamagedTape: the row is not what was written.
    """
    before = math.nan if return_before is None else return_before
    try:
        right = codec == CODEC and checksum(first_step, count, codec, blob, before) == check
    except (TypeError, struct.error):  # a damaged row may hold anything
        right = False
    if not right:
        raise DamagedTape(
            f"expected steps {_shown(first_step, 0)} to {_shown(first_step, count, -1)} as they "
            "were written, got other bytes (checksum differs); restore the run from a copy, or "
            f"save what is whole: {reel_command()} recover"
        )
    return decode(layout, first_step, count, blob)


def _shown(*numbers: Any) -> str:
    try:
        return f"{sum(numbers):,}"
    except TypeError:
        return "?"


def encode(layout: Layout, segment: Segment) -> bytes:
    """Return the segment's blob."""
    order = None
    if layout.keyed_by_state:
        order = _by_state(segment.columns["observation"])
    frames = []
    for column in layout.steps:
        rows = segment.columns[column.name]
        table = order if column.dtype.startswith("float") and column.shape else None
        frames.append(_encode_column(column, rows, table))
    frames.append(_encode_column(_ENDS, segment.ends))
    frames.append(_encode_column(_FLAGS, segment.flags))
    frames.extend(_encode_column(column, segment.finals[column.name]) for column in layout.finals)
    return b"".join(frames)


def decode(layout: Layout, first_step: int, count: int, blob: bytes) -> Segment:
    """Return the segment of a blob.

    Args:
        layout: the run's.
        first_step: global step of row 0.
        count: steps in the segment.
        blob: what `encode` returned.

    Raises:
        DamagedTape: the bytes are no segment of this layout.
    """
    if count < 0 or (count > 1 and count * layout.bytes_per_step > MAX_FRAME):
        raise DamagedTape(f"expected a segment of tape, got one that says it has {count:,} steps")
    reader = _Frames(blob)
    columns: dict[str, Array] = {}
    order: Array | None = None
    for column in layout.steps:
        keyed = layout.keyed_by_state and "observation" in columns
        if reader.kind() == TABLE and order is None and keyed:
            order = _by_state(columns["observation"])
        columns[column.name] = reader.column(column, count, order)
    ends = reader.column(_ENDS, None, most=count + 1).astype(np.int64)
    flags = reader.column(_FLAGS, len(ends))
    finals = {column.name: reader.column(column, len(ends)) for column in layout.finals}
    reader.finish()
    if len(ends) and not (ends[0] >= 0 and ends[-1] <= count and (np.diff(ends) >= 0).all()):
        raise DamagedTape("expected episode ends inside the segment, got ends that lie outside")
    return Segment(first_step, columns, ends, flags, finals)


def decode_one(layout: Layout, count: int, blob: bytes, at: int) -> tuple[Array, Array, Array]:
    """Return one column of a segment that is not stored as table rows, its ends and its flags.

    Several times faster than `decode`: the other columns are passed over.

    Args:
        layout: the run's.
        count: steps in the segment.
        blob: what `encode` returned.
        at: the column's place in `layout.steps`.

    Raises:
        DamagedTape: the bytes are no segment of this layout.
    """
    reader = _Frames(blob)
    values = np.empty(0)
    for index, column in enumerate(layout.steps):
        if index == at:
            values = reader.column(column, count)
        else:
            reader.skip()
    ends = reader.column(_ENDS, None, most=count + 1).astype(np.int64)
    return values, ends, reader.column(_FLAGS, len(ends))


_ENDS = Column("ends", "int64")
_FLAGS = Column("flags", "uint8")


def _by_state(states: Array) -> Array:
    """Rows sorted by state, in time order within one: the order that tables are stored in."""
    return np.argsort(_narrow(states), kind="stable")


def _narrow(values: Array) -> Array:
    """Integers in the fewest bytes that hold them (sorting 16-bit numbers is a radix sort)."""
    if values.size:
        low, high = values.min(), values.max()
        for dtype in (np.uint8, np.uint16, np.uint32, np.int8, np.int16, np.int32):
            info = np.iinfo(dtype)
            if info.min <= low and high <= info.max:
                if np.dtype(dtype).itemsize < values.dtype.itemsize:
                    return values.astype(dtype)
                break
    return values


def _frame(kind: int, itemsize: int, payload: bytes) -> bytes:
    return _HEAD.pack(kind, itemsize, len(payload)) + payload


def _encode_column(column: Column, rows: Any, order: Array | None = None) -> bytes:
    if column.packed:
        lengths = np.fromiter(map(len, rows), "<u4", len(rows))
        return _frame(PACKED_ROWS, 0, compress(lengths.tobytes() + b"".join(rows)))
    if column.dtype.startswith(("int", "uint")) and not column.shape:
        signed = column.dtype.startswith("int")
        rows = _narrow(rows)
        mark = rows.dtype.itemsize | (0x80 if signed and rows.dtype.kind == "i" else 0)
    else:
        mark = rows.dtype.itemsize
    itemsize = mark & 0x7F
    flat = np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
    raw = flat.reshape(len(rows), column.width * itemsize)
    if len(raw) and _is_constant(raw):
        return _frame(CONSTANT, mark, raw[0].tobytes())
    if order is None:
        return _frame(PLANES, mark, compress(_planes(raw.reshape(-1, itemsize)).data))
    bits = raw.view(f"u{itemsize}").take(order, axis=0)
    changes = np.empty_like(bits)
    changes[:1] = bits[:1]
    np.bitwise_xor(bits[1:], bits[:-1], out=changes[1:])
    return _frame(TABLE, mark, compress(_planes_of_few(changes.reshape(-1)).data))


def _is_constant(raw: Array) -> bool:
    """Whether all rows of bytes are the same. Most that are not differ early."""
    first = raw[:_FEW]
    if not (first == raw[0]).all():
        return False
    size, flat = raw.shape[1], raw.reshape(-1)
    return bool((flat[size:] == flat[: len(flat) - size]).all())


def _planes(numbers: Array) -> Array:
    """Numbers' bytes `(n, itemsize)` as planes `(itemsize, n)`."""
    return np.ascontiguousarray(numbers.T)


def _planes_of_few(numbers: Array) -> Array:
    """The planes of unsigned numbers most of which are 0: only the others are moved."""
    size = numbers.itemsize
    places = np.flatnonzero(numbers != 0)
    if len(places) * 16 > len(numbers):
        return _planes(numbers.view(np.uint8).reshape(-1, size))
    planes = np.zeros((size, len(numbers)), np.uint8)
    for plane, byte in zip(planes, numbers[places].view(np.uint8).reshape(-1, size).T, strict=True):
        plane[places] = byte
    return planes


def compress(data: bytes | memoryview) -> bytes:
    """Return the bytes as a zstd frame that tells its size."""
    return zstandard.ZstdCompressor(level=LEVEL, write_content_size=True).compress(data)


def decompress(data: bytes, size: int | None, most: int = MAX_FRAME) -> bytes:
    """Decompress, never into more than what the layout allows.

    The zstandard package trusts the size in the frame's header over `max_output_size`,
    so the header is held against what is expected first.
    """
    try:
        told = zstandard.frame_content_size(data)
        if told < 0 or told > most or (size is not None and told != size):
            expected = f"at most {most}" if size is None else size
            raise DamagedTape(f"expected a frame of {expected} bytes, got one that says {told}")
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise DamagedTape(f"expected compressed data, got bytes that are none: {error}") from error


class _Frames:
    """Reads a blob frame by frame."""

    def __init__(self, blob: bytes) -> None:
        self._blob = memoryview(blob)
        self._at = 0

    def _head(self) -> tuple[int, int, int]:
        if self._at + _HEAD.size > len(self._blob):
            raise DamagedTape("expected another column, got the end of the segment")
        head: tuple[int, int, int] = _HEAD.unpack_from(self._blob, self._at)
        if self._at + _HEAD.size + head[2] > len(self._blob):
            raise DamagedTape("expected a whole column, got one cut short")
        return head

    def kind(self) -> int:
        """The kind of the frame that comes next."""
        return self._head()[0]

    def skip(self) -> None:
        """Pass over the next column."""
        self._at += _HEAD.size + self._head()[2]

    def finish(self) -> None:
        if self._at != len(self._blob):
            raise DamagedTape("expected the end of the segment, got more bytes")

    def column(
        self, column: Column, count: int | None, order: Array | None = None, most: int = 0
    ) -> Array:
        """The next column: of `count` rows, or, where that is None, of `most` at most."""
        kind, mark, length = self._head()
        start = self._at + _HEAD.size
        self._at = start + length
        payload = bytes(self._blob[start : self._at])
        if kind == PACKED_ROWS:
            if not column.packed or count is None:
                raise DamagedTape(f"expected numbers in column {column.name!r}, got packed rows")
            return _split_rows(decompress(payload, None), count)
        stored = _stored_dtype(column, mark)
        if kind == CONSTANT:
            if len(payload) != stored.itemsize * column.width:
                raise DamagedTape(f"expected one row of {column.name!r}, got {len(payload)} bytes")
            row = np.frombuffer(payload, stored).reshape(column.shape)
            n = 1 if count is None else count
            return np.broadcast_to(row, (n, *column.shape)).astype(column.dtype)
        if kind not in (PLANES, TABLE):
            raise DamagedTape(f"expected a kind of column, got number {kind}")
        size = None if count is None else count * column.width * stored.itemsize
        bound = most * stored.itemsize if count is None else MAX_FRAME
        data = np.frombuffer(decompress(payload, size, bound), np.uint8)
        if len(data) % stored.itemsize:
            raise DamagedTape(f"expected whole numbers in {column.name!r}, got a part of one")
        flat = _interleaved(data.reshape(stored.itemsize, -1))
        if kind == TABLE:
            if order is None or count is None:
                raise DamagedTape(f"expected plain rows in {column.name!r}, got table rows")
            bits = flat.view(f"u{stored.itemsize}").reshape(count, column.width)
            table = np.empty_like(bits)
            table[order] = np.bitwise_xor.accumulate(bits, axis=0)
            flat = table
        rows = len(data) // stored.itemsize if count is None else count
        return flat.view(stored).reshape(rows, *column.shape).astype(column.dtype, copy=False)


def _interleaved(planes: Array) -> Array:
    """Planes `(itemsize, n)` as numbers' bytes `(n, itemsize)`: faster than a transposed copy."""
    if len(planes) == 1:
        return planes.reshape(-1, 1)
    flat = np.empty(planes.shape[::-1], np.uint8)
    for place, plane in enumerate(planes):
        flat[:, place] = plane
    return flat


def _stored_dtype(column: Column, mark: int) -> np.dtype[Any]:
    if column.packed:
        raise DamagedTape(f"expected packed rows in column {column.name!r}, got numbers")
    itemsize = mark & 0x7F
    own = np.dtype(column.dtype)
    if itemsize == own.itemsize and not (own.kind in "iu" and not column.shape):
        return _little_endian(own)
    if own.kind in "iu" and not column.shape and itemsize in (1, 2, 4, 8):
        if itemsize == own.itemsize:
            return _little_endian(own)
        return np.dtype(f"<{'i' if mark & 0x80 else 'u'}{itemsize}")
    raise DamagedTape(f"expected {own} in column {column.name!r}, got numbers of {itemsize} bytes")


def _little_endian(dtype: np.dtype[Any]) -> np.dtype[Any]:
    # Not on a little-endian machine, where the dtype would be equal and yet not the same.
    return dtype if sys.byteorder == "little" else dtype.newbyteorder("<")


def _split_rows(data: bytes, count: int) -> Array:
    if len(data) < 4 * count:
        raise DamagedTape("expected the lengths of packed rows, got fewer")
    lengths = np.frombuffer(data, "<u4", count)
    stops = np.cumsum(lengths, dtype=np.int64) + 4 * count
    if (stops[-1] if count else 0) != len(data):
        raise DamagedTape("expected packed rows of the lengths told, got other lengths")
    rows = np.empty(count, dtype=object)
    start = 4 * count
    for row, stop in enumerate(stops.tolist()):
        rows[row] = data[start:stop]
        start = stop
    return rows


def concatenate(parts: Sequence[Segment]) -> Segment:
    """Join neighbouring pieces into one."""
    if len(parts) == 1:
        return parts[0]

    def join(columns: Sequence[dict[str, Array]]) -> dict[str, Array]:
        return {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}

    offsets = np.cumsum([0, *(part.count for part in parts[:-1])])
    return Segment(
        parts[0].first_step,
        join([part.columns for part in parts]),
        np.concatenate([part.ends + offset for part, offset in zip(parts, offsets, strict=True)]),
        np.concatenate([part.flags for part in parts]),
        join([part.finals for part in parts]),
    )


def cut(segment: Segment, start: int, stop: int) -> Segment:
    """Return rows `[start, stop)` as a segment of their own.

    An end that falls on `stop` belongs to the piece before it, never to the one after.
    """
    inside = (segment.ends > start) & (segment.ends <= stop)
    return Segment(
        segment.first_step + start,
        {name: rows[start:stop] for name, rows in segment.columns.items()},
        segment.ends[inside] - start,
        segment.flags[inside],
        {name: rows[inside] for name, rows in segment.finals.items()},
    )
