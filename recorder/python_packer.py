"""`PythonPacker`: what `_packer.c` does, step by step, in Python."""

from __future__ import annotations

import contextlib
import os
from array import array
from bisect import bisect_right
from collections.abc import Callable
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from recorder.marks import Mark, Marks
from recorder.values import PLAIN, REQUIRED, Spec, as_plain

ASKED, ENDED = b"w", b"e"
"""What is written to wake the pump: somebody wants it to look now; an episode ended. The
compiled packer has one more, for a full block."""

Parts = tuple[int, int, tuple[Any, ...], bytes, list[Mark]]
_ITEM = {"d": "d", "?": "B", "D": "d"}


class PythonPacker:
    """The packer where no compiler was: the same columns, some ten times the time.

    It has no `carry`: all that it holds is taken.
    """

    carry = None
    block_steps = 0
    final_width = 0

    def __init__(
        self, specs: tuple[Spec, ...], positional: int, capacity: int, full: Callable[[], None]
    ) -> None:
        self._specs = specs
        self._positional = positional
        self._capacity = capacity
        self._full = full
        self._names = [spec.column.name for spec in specs[positional:]]
        self._known = frozenset(self._names)
        # Floats and bools of the right class are taken as they are.
        self._classes = [(i, PLAIN[s.code]) for i, s in enumerate(specs) if s.code in "d?"]
        self._others = [(i, s) for i, s in enumerate(specs) if s.code not in "d?"]
        self._rows: list[list[Any]] = []
        self._ends: list[Mark] = []
        self._taken = 0
        self._error: Exception | None = None
        self._reward = positional - 1
        self._finish: Callable[..., int] | None = None
        self.position = self.ended = self.episode = 0
        self.wake_fd = -1
        self.wake_s = 0.0
        self.open_return = self.started = self.woken = 0.0

    @property
    def count(self) -> int:
        """Steps held."""
        return len(self._rows)

    @property
    def ends(self) -> int:
        """Ends of episodes held."""
        return len(self._ends)

    def record(self, *values: Any, **channels: Any) -> float:
        """Record one step, whole or not at all, and return its reward as it was recorded."""
        if self._error is not None:
            raise self._error
        if len(values) != self._positional or channels.keys() != self._known:
            channels = self._completed(values, channels)
        row = [*values, *map(channels.__getitem__, self._names)]
        for index, kind in self._classes:
            if row[index].__class__ is not kind:
                row[index] = self._specs[index].coerce(row[index])
        for index, spec in self._others:
            row[index] = as_plain(spec, row[index])
        return self._append(row)

    def _append(self, row: list[Any]) -> float:
        while len(self._rows) >= self._capacity:
            self._full()
        if self._error is not None:  # before, or by another thread or a signal's handler meanwhile
            raise self._error
        self._rows.append(row)
        self.position += 1
        reward: float = row[self._reward]
        self.open_return += reward
        return reward

    def extend(self, parts: tuple[Any, ...], start: int, stop: int, /) -> None:
        """Record rows `[start, stop)` of whole columns, each as `Spec.part` made it."""
        if len(parts) != len(self._specs) or not 0 <= start <= stop:
            raise ValueError(f"expected {len(self._specs)} columns and rows [start, stop) of them")
        columns = []
        for spec, part in zip(self._specs, parts, strict=True):
            if len(part) < stop:
                raise ValueError(f"expected {stop} rows of {spec.column.name}")
            columns.append(_as_taken(spec, part[start:stop]))
        for row in zip(*columns, strict=True):
            self._append([*row])

    def open_episode(self) -> tuple[int, float]:
        """Return the length and the return so far of the episode that runs."""
        return self.position - self.ended, self.open_return

    def _completed(self, values: tuple[Any, ...], channels: dict[str, Any]) -> dict[str, Any]:
        """Return the keywords with what may be left out, or say what is wrong."""
        if len(values) != self._positional:
            raise TypeError(
                f"record_step() takes {self._positional} positional arguments, and channels by "
                f"keyword, but {len(values)} were given"
            )
        for name in channels:
            if name not in self._known:
                raise TypeError(f"record_step() got an unexpected keyword argument {name!r}")
        given = {spec.column.name: spec.fallback for spec in self._specs[self._positional :]}
        given |= channels
        for name, value in given.items():
            if value is REQUIRED:
                raise TypeError(f"record_step() missing required keyword argument: {name!r}")
        return given

    def take(self, most: int, /) -> Parts:
        """Remove up to `most` steps from the front; the ends are all told the long way."""
        rows = self._rows[:most]
        del self._rows[: len(rows)]
        first = self._taken
        self._taken += len(rows)
        columns = list(zip(*rows, strict=True)) or [()] * len(self._specs)
        parts = [_part(spec, column) for spec, column in zip(self._specs, columns, strict=True)]
        within = bisect_right(self._ends, self._taken, key=itemgetter(0))
        odd = self._ends[:within]
        del self._ends[:within]
        return len(rows), first, tuple(parts), bytes(Marks.of(odd).ends), odd

    def end(self, mark: Mark, /) -> None:
        """Note the end of an episode."""
        self._ends.append(mark)

    def arm(self, *how: Any) -> None:
        """Make `finish` ready; here it always takes the long way."""
        self.wake_fd, self._finish, self.wake_s = how[0], how[1], how[4]

    def finish(self, *values: Any, **facts: Any) -> int:
        """End the episode; see `EpisodeRecorder.finish_episode`."""
        if self._finish is None:
            raise RuntimeError("the packer is not armed")
        return self._finish(*values, **facts)

    def hurry(self) -> None:
        """Wake the pump for ends of episodes."""
        with contextlib.suppress(OSError):  # full means it is awake already
            os.write(self.wake_fd, ENDED)

    send = hurry

    def close(self, error: Exception, /) -> None:
        """Raise `error` at each further step."""
        self._error = error


def _as_taken(spec: Spec, rows: Any) -> list[Any]:
    """Rows of a column in the form in which a row holds them."""
    if spec.code == "a":
        return [row.tobytes() for row in rows]
    plain: list[Any] = rows if spec.code == "o" else rows.tolist()
    return [tuple(row) for row in plain] if spec.code == "D" else plain


def _part(spec: Spec, column: tuple[Any, ...]) -> Any:
    if spec.code == "o":
        return list(column)
    if spec.code == "a":
        return b"".join(column)
    if spec.code == "q":
        return np.array(column, spec.stored).tobytes()
    values = chain.from_iterable(column) if spec.code == "D" else column
    return array(_ITEM[spec.code], values).tobytes()
