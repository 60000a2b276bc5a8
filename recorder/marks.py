"""The end of an episode: after which step, and what is known of it only then."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Any, overload

import numpy as np

from recorder.layout import Layout

Array = np.ndarray[Any, Any]

Mark = tuple[Any, ...]
"""A plain tuple in the order of `MARK_FIELDS`. `position` counts steps since the recorder was
made; `flags` are the codec's; `final` is the final observation's leaves (arrays as their
bytes), or None.
"""

MARK_FIELDS = (
    "position", "final", "flags", "epsilon", "seed", "stage", "started_at", "duration_s", "tags",
)  # fmt: skip

END = struct.Struct("=qqqddd")
"""The common end of an episode as the training thread notes it: position, the final observation
where it is an int, flags, epsilon (NaN for none), when it began (unix seconds), its duration.
Where final observations are arrays, one stands behind it, and as much as makes a multiple of 8."""

_NUMBERS = [
    ("position", "i8"), ("final", "i8"), ("flags", "i8"),
    ("epsilon", "f8"), ("started_at", "f8"), ("duration_s", "f8"),
]  # fmt: skip
"""The same, for many at once."""

ODD = 256
"""Among the flags of an `END`: it stands for the next of the marks that are not common."""


class Marks(Sequence[Mark]):
    """Ends of episodes in their order. A mark is made of one where it is looked at.

    Most ends are never looked at in the training process, and a tuple for each would cost
    more than anything else that is done with them there.

    Args:
        ends: an `END` for each, and what stands behind it.
        odd: the marks that are not common, in order.
        final_width: bytes of a final observation that is an array; 0 where none is.
    """

    def __init__(
        self, ends: bytes | memoryview = b"", odd: Sequence[Mark] = (), final_width: int = 0
    ) -> None:
        self.ends = ends
        self.odd = odd
        self.final_width = final_width
        self._end = _end(final_width)

    @classmethod
    def of(cls, marks: Sequence[Mark]) -> Marks:
        """Return marks as a sequence of them, none taken as common."""
        return cls(b"".join(END.pack(mark[0], 0, ODD, 0.0, 0.0, 0.0) for mark in marks), marks)

    def __len__(self) -> int:
        return len(self.ends) // self._end.size

    def __iter__(self) -> Iterator[Mark]:
        odd, arrays = iter(self.odd), self.final_width > 0
        for position, final, flags, epsilon, started, duration, array in self._end.iter_unpack(
            self.ends
        ):
            if flags & ODD:
                yield next(odd)
                continue
            last = (array if arrays else final,)
            known = None if epsilon != epsilon else epsilon
            yield position, last, flags, known, None, None, started, duration, ()

    @overload
    def __getitem__(self, index: int) -> Mark: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mark]: ...
    def __getitem__(self, index: int | slice) -> Mark | Sequence[Mark]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return [*self][index]
            first = sum(1 for at in range(start) if self._is_odd(at)) if self.odd else 0
            size = self._end.size
            part = self.ends[start * size : max(start, stop) * size]
            odd = [*islice(self.odd, first, None)] if self.odd else ()
            return Marks(part, odd, self.final_width)
        at = range(len(self))[index]
        return next(iter(self[at : at + 1]))

    def _is_odd(self, at: int) -> bool:
        flags: int = END.unpack_from(self.ends, at * self._end.size)[2]
        return bool(flags & ODD)

    def columns(self) -> list[Any]:
        """Return what is known of all of them; see `columns_of`."""
        if self.odd or not len(self):
            return columns_of([*self])
        count = len(self)
        numbers = np.frombuffer(self.ends, _dtype(self._end.size))
        finals: Any = numbers["final"]
        if self.final_width:
            finals = [told[-1:] for told in self._end.iter_unpack(self.ends)]
        return [
            numbers["position"], finals, numbers["flags"], numbers["epsilon"],
            [None] * count, [None] * count, numbers["started_at"], numbers["duration_s"],
            [()] * count,
        ]  # fmt: skip

    def position(self, index: int) -> int:
        """Return the position of one of them."""
        at = range(len(self))[index]
        found: int = END.unpack_from(self.ends, at * self._end.size)[0]
        return found


@cache
def _end(final_width: int) -> struct.Struct:
    """An `END`, and the bytes behind it."""
    return struct.Struct(f"{END.format}{final_width}s{-final_width % 8}x")


@cache
def _dtype(size: int) -> np.dtype[Any]:
    """An `END` within so many bytes."""
    names, formats = zip(*_NUMBERS, strict=True)
    offsets = [8 * place for place in range(len(names))]
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


def columns_of(marks: Sequence[Mark]) -> list[Any]:
    """Return what is known of marks, an array or a list for each of `MARK_FIELDS`.

    Numbers are arrays, an epsilon that is not known NaN. `final` is an array where each is one
    integer.
    """
    if isinstance(marks, Marks):
        return marks.columns()
    columns: list[Any] = [list(c) for c in zip(*marks, strict=True)] or [[] for _ in MARK_FIELDS]
    for name, dtype in _NUMBERS:
        if name != "final":
            place = MARK_FIELDS.index(name)
            columns[place] = np.array(columns[place], dtype)
    return columns


def finals_of(layout: Layout, told: Array | Sequence[tuple[Any, ...] | None]) -> dict[str, Array]:
    """Return final observations as columns, a blank row where there is none.

    Args:
        layout: the run's.
        told: the field `final` of each mark; an array where each is one integer.
    """
    if isinstance(told, np.ndarray):
        if [column.dtype for column in layout.finals] == [told.dtype]:
            return {layout.finals[0].name: told}
        told = [(leaf,) for leaf in told.tolist()]  # so that none is cut to size unseen
    finals: dict[str, Array] = {}
    for index, column in enumerate(layout.finals):
        leaves = [None if final is None else final[index] for final in told]
        rows = column.empty(len(told))
        if column.packed:
            rows[:] = [b"" if leaf is None else leaf for leaf in leaves]
        elif column.shape or column.dtype == "uint64":
            for row, leaf in enumerate(leaves):
                rows[row] = 0 if leaf is None else _array(leaf, rows)
        else:
            rows[:] = [0 if leaf is None else leaf for leaf in leaves]
        finals[column.name] = rows
    return finals


def _array(leaf: bytes, rows: Array) -> Array:
    return np.frombuffer(leaf, rows.dtype).reshape(rows.shape[1:])
