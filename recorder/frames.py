"""What passes between the training process and the writer's, framed. No I/O.

A frame is the length of its head, the head, and then the bytes of columns as they are,
so that they are not copied on the way: `length (u64), marshal of (lengths, message)`,
columns. A block of steps that the compiled packer sends by itself is a `BLOCK` and then its bytes.
Both ends are the same interpreter of the same run, so `marshal` serves: it is
several times faster than anything that must be read elsewhere too. Nothing of it
reaches a file.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Iterator, Sequence
from typing import Any

_LENGTH = struct.Struct("<Q")

BLOCK = struct.Struct("<Qqqqqqdq")
"""What stands before a block: how many bytes follow the length, `_BLOCK` set in it; position,
episodes, beginning of the running episode and events before it (`Place`); rows; when the
episode that runs behind it began (unix seconds); the bytes of a final observation (`Marks`)."""

_BLOCK = 1 << 63
_ROOM = 1 << 16

Message = tuple[Any, ...]


def to_frame(message: Message, columns: Sequence[Any] = ()) -> list[bytes]:
    """Return a message as buffers to be written one after the other.

    Args:
        message: plain values.
        columns: each bytes, or a list of plain values.
    """
    raw, lengths = [], []
    for column in columns:
        data = column if isinstance(column, bytes) else marshal.dumps(column)
        raw.append(data)
        lengths.append(len(data) if data is column else -len(data))
    head = marshal.dumps((lengths, message))
    return [_LENGTH.pack(len(head)), head, *raw]


class FrameReader:
    """Gives back messages from bytes that come in any pieces."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(_ROOM))
        self._filled = 0

    def room(self) -> memoryview:
        """Where the next bytes may be put, for `took` to look at.

        Behind the beginning of a block there is room for just the rest of it, which so stays where
        it was read to.
        """
        return self._buffer[self._filled :]

    def feed(self, data: bytes) -> Iterator[tuple[Message, list[Any]]]:
        """Add bytes and yield the messages that are whole now, each with its columns."""
        left = memoryview(data)
        while left:
            room = self.room()
            some = min(len(room), len(left))
            room[:some] = left[:some]
            left = left[some:]
            yield from self.took(some)

    def took(self, count: int) -> Iterator[tuple[Message, list[Any]]]:
        """Yield the messages that are whole now that so many bytes more stand in `room`.

        All of them have to be taken before there is room again. What a block holds is a view of
        memory that is used for nothing else.
        """
        held = self._buffer[: self._filled + count]
        at, lent = 0, False
        need = _LENGTH.size
        while len(held) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(held, at)
            behind_head = at + _LENGTH.size + (length & ~_BLOCK)
            need = behind_head - at
            if len(held) < behind_head:
                break
            if length & _BLOCK:
                _, *before, rows, started_at, final_width = BLOCK.unpack_from(held, at)
                lent = True
                yield (
                    ("block", tuple(before), rows, started_at, final_width),
                    [held[at + BLOCK.size : behind_head]],
                )
                at, need = behind_head, _LENGTH.size
                continue
            lengths, message = marshal.loads(held[at + _LENGTH.size : behind_head])
            end = behind_head + sum(map(abs, lengths))
            need = end - at
            if len(held) < end:
                break
            columns = []
            for size in lengths:
                part = bytes(held[behind_head : behind_head + abs(size)])
                columns.append(part if size >= 0 else marshal.loads(part))
                behind_head += abs(size)
            yield message, columns
            at, need = end, _LENGTH.size
        left = held[at:]
        if lent or max(need, len(left)) > len(self._buffer):
            self._buffer = memoryview(bytearray(max(need, len(left), _ROOM)))
        if at or self._buffer.obj is not left.obj:
            self._buffer[: len(left)] = left
        self._filled = len(left)
