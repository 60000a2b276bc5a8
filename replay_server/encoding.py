"""What the server says, as bytes: columns, control messages, frames.

A `Frame` is a whole message encoded once and shared by every viewer that is sent it.
Only the epoch in it differs from viewer to viewer, so a frame is kept as the bytes
before and after the epoch, and so are the whole ones that were asked for.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgpack
import numpy as np

from replay_server.protocol import MAX

TEXT: Final = 0x81  # first byte of a WebSocket frame: FIN and opcode
BINARY: Final = 0x82
PING: Final = 0x89
PONG: Final = 0x8A

EPOCHS_KEPT: Final = 64  # of one frame; most viewers of a live run are in their first few

_DTYPES: Final = frozenset({"<f8", "<f4", "<i8", "<i4", "<i2", "|i1", "|u1", "<u2", "<u4", "|b1"})
_U32: Final = b"\xce"  # msgpack: a 32-bit unsigned integer follows


def websocket_frame(first_byte: int, payload: bytes) -> bytes:
    """One unmasked, unfragmented WebSocket frame (RFC 6455, section 5.2).

    A server's frames carry no mask, so the same bytes go to every viewer.
    """
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", first_byte, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", first_byte, 126, size) + payload
    return struct.pack("!BBQ", first_byte, 127, size) + payload


def encode(kind: str, data: Mapping[str, Any]) -> bytes:
    """A control message, ready for the socket. NaN becomes null, infinities a text."""
    return websocket_frame(TEXT, dumps([kind, data]).encode())


def dumps(value: Any) -> str:
    """JSON as the protocol has it: strict, ASCII, no NaN."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=plain)
    except ValueError:
        return json.dumps(plain(value), allow_nan=False, separators=(",", ":"))


class Frame:
    """A message with an epoch, encoded once for all viewers of one subprotocol."""

    __slots__ = ("_first_byte", "_head", "_tail", "_wires")

    def __init__(self, first_byte: int, head: bytes, tail: bytes) -> None:
        self._first_byte = first_byte
        self._head = head
        self._tail = tail
        self._wires: dict[int, bytes] = {}

    def wire(self, epoch: int) -> bytes:
        """The bytes for the socket, with this epoch."""
        try:
            return self._wires[epoch]
        except KeyError:
            return self._make(epoch)

    def _make(self, epoch: int) -> bytes:
        middle = str(epoch).encode() if self._first_byte == TEXT else struct.pack(">I", epoch)
        wire = websocket_frame(self._first_byte, self._head + middle + self._tail)
        if len(self._wires) >= EPOCHS_KEPT:
            self._wires.clear()
        self._wires[epoch] = wire
        return wire


class Frames:
    """Several messages that go out at once: one write for each viewer, in place of several.

    Args:
        frames: in order.
    """

    __slots__ = ("_frames", "_wires")

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self._wires: dict[int, bytes] = {}

    def wire(self, epoch: int) -> bytes:
        """The bytes for the socket, with this epoch."""
        wire = self._wires.get(epoch)
        if wire is None:
            wire = b"".join(frame.wire(epoch) for frame in self._frames)
            if len(self._wires) >= EPOCHS_KEPT:
                self._wires.clear()
            self._wires[epoch] = wire
        return wire


def control_frame(kind: str, data: Mapping[str, Any]) -> Frame:
    """A JSON message whose first field is the epoch (`episode_start`, `gap`, ...)."""
    return Frame(
        TEXT,
        f'["{kind}",{{"epoch":'.encode(),
        f",{dumps(data)[1:]}]".encode(),
    )


def steps_frame(
    *, binary: bool, episode: int, first: int, at: int, columns: Mapping[str, np.ndarray[Any, Any]]
) -> Frame:
    """A `steps` message: rows from `first` on of one episode."""
    count = len(next(iter(columns.values())))
    head = {"episode": episode, "from": first, "count": count, "at": at}
    encoded = {name: column(values, binary=binary) for name, values in columns.items()}
    if not binary:
        return control_frame("steps", {**head, "columns": encoded})
    packer = msgpack.Packer(autoreset=False)
    packer.pack_array_header(2)
    packer.pack("steps")
    packer.pack_map_header(6)
    packer.pack("epoch")
    start = packer.bytes() + _U32
    packer.reset()
    for name, value in head.items():
        packer.pack(name)
        packer.pack(value)
    packer.pack("columns")
    packer.pack(encoded)
    return Frame(BINARY, start, packer.bytes())


def column(values: np.ndarray[Any, Any], *, binary: bool) -> dict[str, Any]:
    """One column as the protocol has it.

    Args:
        values: shape `(n, ...)`; dtypes the protocol does not name go as the nearest
            that holds their values, and what is not a number as dtype `json`.
        binary: raw little-endian bytes (msgpack) or nested lists (JSON).
    """
    if values.dtype == np.float16:
        values = values.astype("<f4")
    elif values.dtype.kind in "iufb" and values.dtype.byteorder == ">":
        values = values.astype(values.dtype.newbyteorder("<"))
    dtype = values.dtype.str
    if dtype not in _DTYPES:
        return {"dtype": "json", "shape": [len(values)], "data": plain(values.tolist())}
    shape = list(values.shape)
    if binary:
        return {"dtype": dtype, "shape": shape, "data": values.tobytes()}
    data = values.tolist()
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        data = plain(data)
    return {"dtype": dtype, "shape": shape, "data": data}


def plain(value: Any) -> Any:
    """The value in types that JSON and msgpack both know; NaN is None, infinity a text."""
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else float(value)
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value)


def speed_value(speed: float) -> float | str:
    """A speed as clients read it: a number, or "max"."""
    return "max" if speed == MAX else speed
