"""Keyframes: a whole Q-table at one step of the tape, as a row of table `keyframes`.

A row of the table at any other step follows from the rows that the steps recorded
(`recorder.qtables`), so a keyframe now and then is enough. The blob is one byte of flags
and the table's numbers in C order, zstd-compressed; the checksum is over all of the row.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from recorder.codec import Array, compress, decompress
from recorder.errors import DamagedTape, KeyframeError
from recorder.hints import reel_command

KEYFRAME_COLUMNS = (
    "name", "global_step", "episode", "dtype", "shape", "checksum", "blob",
)  # fmt: skip
MOST_BYTES = 16 << 20
MOST_DIMENSIONS = 8
REPLACED = " replaced"
_VISITED_ONLY = 1


@dataclass(frozen=True)
class Keyframe:
    """A table at a step.

    Attributes:
        name: what it is a table of: the name of the channel that records its rows.
        global_step: the steps before it are learned from, those from it on are not.
        episode: the episode that begins or runs there.
        values: the table, one row a state, `(states, ...)`.
        replaced: the table was put in the place of another here (loaded, reset, the first
            of a training), rather than reached by learning. Where both are kept, steps
            before this one lead to the other, and those from it on start with this one.
        visited_only: a row changes only by a step taken from its state, before the next
            step is (one-step methods; not traces, nor n-step methods).
    """

    name: str
    global_step: int
    episode: int
    values: Array
    replaced: bool = False
    visited_only: bool = False


def as_table(name: str, table: Any) -> Array:
    """Return a caller's table as an array of its own.

    Raises:
        KeyframeError: no array of numbers, of no rows, or larger than `MOST_BYTES`.
    """
    remedy = "hand in the table as an array or as lists of numbers, one row a state"
    try:
        values = np.array(table)
    except (TypeError, ValueError) as error:
        raise KeyframeError(
            f"expected {name} to be a table of numbers, got {error}; {remedy}"
        ) from None
    if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8 or not values.size:
        raise KeyframeError(
            f"expected {name} to be a table of numbers, got {values.dtype} of shape "
            f"{values.shape}; {remedy}"
        )
    if not 1 <= values.ndim <= MOST_DIMENSIONS or values.nbytes > MOST_BYTES:
        raise KeyframeError(
            f"expected {name} to be a table of at most {MOST_BYTES >> 20} MiB, got "
            f"{values.nbytes:,} bytes in {values.ndim} dimensions; hand in no keyframes of it"
        )
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))


def to_row(keyframe: Keyframe) -> tuple[Any, ...]:
    """Return the row of a keyframe, its columns as `KEYFRAME_COLUMNS` names them."""
    values = keyframe.values
    head = (
        keyframe.name + REPLACED * keyframe.replaced, keyframe.global_step, keyframe.episode,
        values.dtype.str, json.dumps(list(values.shape)),
    )  # fmt: skip
    blob = bytes([_VISITED_ONLY * keyframe.visited_only]) + compress(values.tobytes())
    return (*head, _checksum(head, blob), blob)


def of_row(row: tuple[Any, ...]) -> Keyframe:
    """Return the keyframe of a row.

    Raises:
        DamagedTape: the row is not what was written.
    """
    *head, check, blob = row
    try:
        right = _checksum(tuple(head), blob) == check
    except (TypeError, ValueError):  # a damaged row may hold anything
        right = False
    if not right:
        raise DamagedTape(
            f"expected keyframe {str(head[0])[:40]!r} at step {str(head[1])[:20]} as it was "
            "written, got another row (checksum differs); restore the run from a copy, or save "
            f"what is whole: {reel_command()} recover"
        )
    name, step, episode, spelled, shape_text = head
    try:
        dtype, shape = np.dtype(spelled), tuple(json.loads(shape_text))
        size = math.prod(shape) * dtype.itemsize
        if dtype.kind not in "biuf" or not 0 < size <= MOST_BYTES or blob[0] > _VISITED_ONLY:
            raise ValueError(spelled)
        values = np.frombuffer(decompress(blob[1:], size), dtype).reshape(shape)
    except (TypeError, ValueError, IndexError) as error:  # of a foreign file
        raise DamagedTape(f"expected a table of numbers at step {step}, got {error}") from None
    replaced = name.endswith(REPLACED)
    return Keyframe(
        name.removesuffix(REPLACED), step, episode, values, replaced, bool(blob[0] & _VISITED_ONLY)
    )


def _checksum(head: tuple[Any, ...], blob: bytes) -> int:
    return zlib.crc32(blob, zlib.crc32(json.dumps(head).encode()))
