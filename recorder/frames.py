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

BLOCK = struct.Struct("<Qqqqqqd")
"""What stands before a block: how many bytes follow the length, `_BLOCK` set in it; position,
episodes, beginning of the running episode and events before it (`Place`); rows; when the
episode that runs behind it began (unix seconds)."""

_BLOCK = 1 << 63

Message = tuple[Any, ...]


def to_frame(message: Message, columns: Sequence[Any] = ()) -> list[bytes]:
    """Return a message as buffers to be written one after the other.

    Args:
        message: plain values.
        columns: each bytes, or a list of plain values.
    """
    raw = [c if isinstance(c, bytes) else marshal.dumps(c) for c in columns]
    lengths = [
        len(data) if isinstance(c, bytes) else -len(data)
        for c, data in zip(columns, raw, strict=True)
    ]
    head = marshal.dumps((lengths, message))
    return [_LENGTH.pack(len(head)), head, *raw]


class FrameReader:
    """Gives back messages from bytes that come in any pieces."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Message, list[Any]]]:
        """Add bytes and yield the messages that are whole now, each with its columns."""
        self._held += data
        while len(self._held) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._held)
            if length & _BLOCK:
                end = _LENGTH.size + (length ^ _BLOCK)
                if len(self._held) < end:
                    break
                _, *before, rows, started_at = BLOCK.unpack_from(self._held)
                body = bytes(self._held[BLOCK.size : end])
                del self._held[:end]
                yield ("block", tuple(before), rows, started_at), [body]
                continue
            at = _LENGTH.size + length
            if len(self._held) < at:
                break
            lengths, message = marshal.loads(self._held[_LENGTH.size : at])
            end = at + sum(map(abs, lengths))
            if len(self._held) < end:
                break
            columns = []
            for size in lengths:
                part = bytes(self._held[at : at + abs(size)])
                columns.append(part if size >= 0 else marshal.loads(part))
                at += abs(size)
            del self._held[:end]
            yield message, columns
