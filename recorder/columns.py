"""What a step is made of: named columns of fixed dtype and shape.

The layout of a run stands once, in its `run` row; a segment's bytes follow it and carry
no schema of their own.
"""

from __future__ import annotations

import keyword
import math
import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from recorder.errors import ChannelError

PACKED = "packed"
RESERVED = frozenset({"observation", "action", "reward", "final_observation", "info"})
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_KINDS = "biuf"
_ITEMSIZE_MAX = 8
_VALUE_BYTES = 256 << 20  # 64 of them at least must fit the capture buffer


@dataclass(frozen=True)
class Column:
    """One column of the tape.

    Attributes:
        name: `observation`, `reward`, `q_values`, ...; leaves of a Dict are dotted.
        dtype: a numpy dtype's name, or `packed` for bytes of varying length.
        shape: the shape of one row; `()` for a number.
        labels: names of the numbers 0, 1, ..., where they have names.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def packed(self) -> bool:
        """Whether rows are bytes of varying length."""
        return self.dtype == PACKED

    @property
    def width(self) -> int:
        """Numbers in one row."""
        size = 1
        for n in self.shape:
            size *= n
        return size

    def empty(self, count: int) -> np.ndarray[Any, Any]:
        """Return an array for `count` rows, shape `(count, *shape)`."""
        if self.packed:
            return np.empty(count, dtype=object)
        return np.empty((count, *self.shape), dtype=self.dtype)


@dataclass(frozen=True)
class Channel:
    """A per-step column beyond Gymnasium's own, declared when a recorder is made.

    Attributes:
        name: lower case, `q_values`, `explored`, `value`, `log_prob`, `action_mask`, ...
        dtype: a boolean, integer or floating numpy dtype.
        shape: the shape of one step's value; `()` for a number.
        labels: names of the numbers 0, 1, ... of an integer channel: a step's value is
            given by name or number, and stored as the number.

    Raises:
        ChannelError: the name is taken or malformed, the dtype is not numeric, the shape is
            none or larger than 256 MiB, or labels stand twice or with numbers that cannot
            count them.
    """

    name: str
    dtype: str = "float64"
    shape: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        taken = self.name in RESERVED or keyword.iskeyword(self.name)
        if taken or not _NAME.fullmatch(str(self.name)):
            raise ChannelError(
                f"expected a channel name like 'q_values' that is no word of Python and none of "
                f"{', '.join(sorted(RESERVED))}, got {self.name!r}; choose another name"
            )
        try:
            dtype = np.dtype(self.dtype)
        except TypeError as error:
            raise ChannelError(
                f"expected a numpy dtype for channel {self.name!r}, got {self.dtype!r}; "
                "for example 'float64', 'int64' or 'bool'"
            ) from error
        if dtype.kind not in _KINDS or dtype.itemsize > _ITEMSIZE_MAX:
            raise ChannelError(
                f"expected a boolean, integer or floating dtype of at most 64 bits for channel "
                f"{self.name!r}, got {dtype}; record it as numbers, or put it into the info dict"
            )
        object.__setattr__(self, "dtype", dtype.name)
        object.__setattr__(self, "shape", self._checked_shape(dtype))
        object.__setattr__(self, "labels", tuple(self.labels))
        if self.labels:
            self._check_labels(dtype)

    def _checked_shape(self, dtype: np.dtype[Any]) -> tuple[int, ...]:
        try:
            shape = tuple(operator.index(n) for n in self.shape)
            if all(n >= 0 for n in shape) and math.prod(shape) * dtype.itemsize <= _VALUE_BYTES:
                return shape
        except TypeError:  # no integers, or no tuple of them
            pass
        raise ChannelError(
            f"expected a shape like (4,) for channel {self.name!r}, of at most "
            f"{_VALUE_BYTES >> 20} MiB a value, got {self.shape!r}; declare what a step records"
        )

    def _check_labels(self, dtype: np.dtype[Any]) -> None:
        counts = dtype.kind in "iu" and not self.shape
        if (
            not counts
            or len(self.labels) - 1 > np.iinfo(dtype).max
            or len(set(self.labels)) < len(self.labels)
            or not all(isinstance(label, str) for label in self.labels)
        ):
            raise ChannelError(
                f"expected labels of channel {self.name!r} that are text, each once, with an "
                f"integer dtype that counts them and no shape, got {list(self.labels)} with "
                f"{dtype} {self.shape}; for example dtype='int16', labels=('red', 'blue')"
            )

    @property
    def column(self) -> Column:
        """The column that holds this channel."""
        return Column(self.name, self.dtype, self.shape, self.labels)

    def named(self, values: Iterable[Any]) -> list[str]:
        """Return the labels of numbers that were read back."""
        return [self.labels[int(value)] for value in values]


def check_channels(channels: Iterable[Channel]) -> tuple[Channel, ...]:
    """Return the channels as a tuple.

    Raises:
        ChannelError: a name stands twice, something else than a channel is among them, or they
            are no list.
    """
    if not isinstance(channels, Iterable):
        raise ChannelError(
            f"expected channels as a list, got {channels!r}; write [Channel('q_values', 'float64', "
            "(4,))], for example"
        )
    result = tuple(channels)
    given: tuple[Any, ...] = result
    for channel in given:
        if not isinstance(channel, Channel):
            raise ChannelError(
                f"expected channels as Channel(name, dtype, shape), got {channel!r}; write "
                "Channel('q_values', 'float64', (4,)), for example"
            )
    names = [channel.name for channel in result]
    for name in names:
        if names.count(name) > 1:
            raise ChannelError(f"expected each channel once, got {name!r} twice; drop one")
    return result
