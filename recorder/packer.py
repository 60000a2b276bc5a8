"""One step into columns: what a step's values become, and who writes them down.

`make_packer` returns the compiled packer (`_packer.c`, 40 ns a step) where it could be
built, and its twin in Python, `PythonPacker`, where it could not. Both `record` a step
at a time, in the training thread, and emptied by `take`, by the pump's thread.
"""

from __future__ import annotations

import importlib
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any, Protocol

import numpy as np

from recorder.columns import Column
from recorder.errors import ChannelError, SpaceError
from recorder.marks import Mark, Marks
from recorder.packing import pack

ROW_WIDTH_MAX = 16
_REQUIRED = ...
_PLAIN: dict[str, type] = {"q": int, "d": float, "?": bool}
_FLOATS = {float}

ASKED, ENDED = b"w", b"e"
"""What is written to wake the pump: somebody wants it to look now; an episode ended. The
compiled packer has one more, for a full block."""
_ITEM = {"d": "d", "?": "B", "D": "d"}

Array = np.ndarray[Any, Any]
Parts = tuple[int, int, tuple[Any, ...], bytes, list[Mark]]


@dataclass(frozen=True)
class Spec:
    """How one column's values are taken.

    Attributes:
        column: the column.
        code: `q` an int, `d` a float, `?` a bool, `D` a list of floats, `a` an array of
            just this dtype and shape, `o` an object, packed.
        coerce: what else may come, as what `code` takes; raises the typed error.
        fallback: value of a keyword that is not given; `...` where it must be.
    """

    column: Column
    code: str
    coerce: Callable[[Any], Any]
    fallback: Any = _REQUIRED

    @property
    def stored(self) -> np.dtype[Any]:
        """The dtype of the bytes that `take` returns."""
        if self.code in "dD":
            return np.dtype("float64")
        return np.dtype(self.column.dtype)

    def as_tuple(self) -> tuple[Any, ...]:
        """The specification as the compiled packer reads it."""
        column = self.column
        if self.code == "o":
            return (column.name, "o", 0, b"", (), self.coerce, self.fallback, 0, 0)
        buffer_format = np.empty((), self.stored).data.format.encode()
        width = column.width * self.stored.itemsize
        return (
            column.name, self.code, width, buffer_format, column.shape, self.coerce, self.fallback,
            *self.limits,
        )  # fmt: skip

    @property
    def limits(self) -> tuple[int, int]:
        """What an integer must lie within, both included, to be held by the column."""
        if self.code != "q":
            return 0, 0
        info = np.iinfo(self.column.dtype)
        return int(info.min), int(info.max)

    def piece(self, part: Any, start: int, stop: int) -> Array:
        """Return some of the rows that `take` gave for this column, as `rows` does."""
        width = 1 if self.code == "o" else self.column.width * self.stored.itemsize
        piece = part[start * width : stop * width]
        # Of a block a copy, so that the rows hold on to nothing else of it.
        return self.rows(bytes(piece) if isinstance(piece, memoryview) else piece, stop - start)

    def rows(self, part: Any, count: int) -> Array:
        """Return what `take` gave for this column as an array, `(count, *shape)`."""
        column = self.column
        if self.code == "o":
            rows = np.empty(count, dtype=object)
            rows[:] = part
            return rows
        values = np.frombuffer(part, self.stored).reshape(count, *column.shape)
        if values.dtype == column.dtype:
            return values
        # As for arrays (`as_array`): what is too large for a narrower float is infinite in it.
        with np.errstate(over="ignore", under="ignore"):
            return values.astype(column.dtype)


class Block(Protocol):
    """A full block that was sent; its bytes are the message (`frames.BLOCK`).

    Attributes:
        first: position of its first step.
        rows: how many steps.
    """

    first: int
    rows: int

    def parts(self) -> tuple[memoryview, ...]:
        """Return the columns."""

    def ends(self) -> bytes:
        """Return the ends of episodes within it, as `Marks` takes them."""

    def __buffer__(self, flags: int, /) -> memoryview:
        """Be a message."""


class Carry(Protocol):
    """Sends blocks as they become full, as `pipes.exchange` does buffers."""

    def __call__(
        self,
        sink: int,
        source: int,
        wake: int,
        buffers: list[memoryview],
        timeout: float,
        place: tuple[int, ...],
        eager: bool,
        prompt: bool,
        /,
    ) -> tuple[int, bytes | None, bool, list[Block], int, int]:
        """Write buffers, then each block that is full; without the interpreter's lock.

        Args:
            sink: see `exchange`.
            source: see `exchange`.
            wake: see `exchange`; that a block is full wakes nobody else.
            buffers: see `exchange`.
            timeout: see `exchange`.
            place: where the first block goes (`Place`, as a tuple).
            eager: return where an episode ended too.
            prompt: return where something was heard too.

        Returns:
            What `exchange` returns; the blocks begun, no longer held here; of the last one, how
            many bytes are not written yet; and the number of the system's error, or 0.
        """


class Packer(Protocol):
    """What both packers are.

    Attributes:
        ended: position of the last episode's end.
        episode: number of the episode that runs.
        open_return: its sum of rewards so far.
        started: when it began, on the clock that `arm` was given.
        woken: when the pump was woken last.
        wake_fd: descriptor that wakes it, not blocking; -1 for none.
        wake_s: seconds between two ends of episodes that wake it.
    """

    ended: int
    episode: int
    open_return: float
    started: float
    woken: float
    wake_fd: int
    wake_s: float

    @property
    def block_steps(self) -> int:
        """Steps in a full block; 0 where there are none."""

    @property
    def carry(self) -> Carry | None:
        """Sends full blocks; None where all must be taken."""

    @property
    def count(self) -> int:
        """Steps held."""

    @property
    def ends(self) -> int:
        """Ends of episodes held."""

    @property
    def position(self) -> int:
        """Steps recorded so far, taken ones included."""

    def record(self, *values: Any, **channels: Any) -> float:
        """Record one step, whole or not at all, and return its reward as it was recorded."""

    def open_episode(self) -> tuple[int, float]:
        """Return the length and the return so far of the episode that runs."""

    def take(self, most: int, /) -> Parts:
        """Remove up to `most` steps from the front, and the ends of episodes up to there.

        Returns:
            How many, which may be less than there are; the position of the first; for each
            column bytes or a list; and the ends, as `Marks` takes them.
        """

    def end(self, mark: Mark, /) -> None:
        """Note the end of an episode that `finish` does not note itself."""

    def arm(
        self,
        wake_fd: int,
        finish: Callable[..., int],
        clock: Callable[[], float],
        wall_offset: float,
        wake_s: float,
        plain_final: bool,
        /,
    ) -> None:
        """Make `finish` ready.

        Args:
            wake_fd: descriptor that `ENDED` is written to at an end, at most every `wake_s`.
            finish: `EpisodeRecorder.finish_episode`, for all but the commonest calls.
            clock: monotonic seconds.
            wall_offset: what makes unix seconds of them.
            wake_s: see above.
            plain_final: whether a final observation is one int.
        """

    def finish(self, *values: Any, **facts: Any) -> int:
        """End the episode; see `EpisodeRecorder.finish_episode`."""

    def close(self, error: Exception, /) -> None:
        """Raise `error` at each further step."""


def make_packer(
    specs: Iterable[Spec], positional: int, capacity: int, full: Callable[[], None]
) -> Packer:
    """Return a packer.

    Args:
        specs: the columns; the first `positional` are given by position, the others by name.
        positional: see above.
        capacity: most steps held.
        full: called, again and again, while there is no room for a step.
    """
    specs = tuple(specs)
    try:
        compiled: Any = importlib.import_module("recorder._packer")
    except ImportError:
        return PythonPacker(specs, positional, capacity, full)
    packer: Packer = compiled.Packer(
        tuple(spec.as_tuple() for spec in specs), positional, capacity, full
    )
    return packer


def is_compiled() -> bool:
    """Return whether the compiled packer is there."""
    return not isinstance(make_packer((), 0, 1, lambda: None), PythonPacker)


class PythonPacker:
    """The packer where no compiler was: the same columns, some ten times the time.

    It has no `carry`: all that it holds is taken.
    """

    carry = None
    block_steps = 0

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
        self._classes = [(i, _PLAIN[s.code]) for i, s in enumerate(specs) if s.code in "d?"]
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
            row[index] = _plain(spec, row[index])
        while len(self._rows) >= self._capacity:
            self._full()
        if self._error is not None:  # by another thread, or a signal's handler, meanwhile
            raise self._error
        self._rows.append(row)
        self.position += 1
        reward: float = row[self._reward]
        self.open_return += reward
        return reward

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
            if value is _REQUIRED:
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

    def close(self, error: Exception, /) -> None:
        """Raise `error` at each further step."""
        self._error = error


def _plain(spec: Spec, value: Any) -> Any:
    """A value as its column takes it, copied where it could change later."""
    code = spec.code
    if code in _PLAIN:
        if value.__class__ is not _PLAIN[code] or (code == "q" and not _within(spec, value)):
            value = spec.coerce(value)
    elif code == "D":
        clean = value.__class__ is list and len(value) == spec.column.width
        if not clean or {*map(type, value)} != _FLOATS:
            value = spec.coerce(value)
        value = tuple(value)
    elif code == "a":
        fits = isinstance(value, np.ndarray) and value.shape == spec.column.shape
        if not fits or value.dtype != spec.stored:
            value = spec.coerce(value)
        value = value.tobytes()
    elif code == "o":
        value = spec.coerce(value)
    return value


def _within(spec: Spec, value: Any) -> bool:
    low, high = spec.limits
    return bool(low <= value <= high)


def _part(spec: Spec, column: tuple[Any, ...]) -> Any:
    if spec.code == "o":
        return list(column)
    if spec.code == "a":
        return b"".join(column)
    if spec.code == "q":
        return np.array(column, spec.stored).tobytes()
    values = chain.from_iterable(column) if spec.code == "D" else column
    return array(_ITEM[spec.code], values).tobytes()


def cut_block(specs: Iterable[Spec], body: bytes, rows: int) -> list[memoryview]:
    """Return the columns of a block (`frames.BLOCK`) and, last, the ends within it."""
    parts, at, view = [], 0, memoryview(body)
    for spec in specs:
        size = spec.column.width * spec.stored.itemsize * rows
        parts.append(view[at : at + size])
        at += size
    return [*parts, view[at:]]


def spec_for(column: Column, fallback: Any = _REQUIRED) -> Spec:
    """Return how a column's values are taken."""
    if column.packed:
        return Spec(column, "o", pack, fallback)
    kind = np.dtype(column.dtype).kind
    if not column.shape and column.dtype != "uint64" and kind in "bif":
        python = {"b": bool, "i": int, "f": float}[kind]
        return Spec(column, {"b": "?", "i": "q", "f": "d"}[kind], _scalar(column, python), fallback)
    if not column.shape and kind == "u" and column.dtype != "uint64":
        return Spec(column, "q", _scalar(column, int), fallback)
    short = len(column.shape) == 1 and column.width <= ROW_WIDTH_MAX and kind == "f"
    # Environments hand out arrays; agents hand out rows of a table, which are lists.
    if short and not of_a_space(column):
        return Spec(column, "D", lambda value: as_array(column, value).tolist(), fallback)
    return Spec(column, "a", lambda value: as_array(column, value), fallback)


def _scalar(column: Column, python: type) -> Callable[[Any], Any]:
    numbers = {label: number for number, label in enumerate(column.labels)}
    limits = np.iinfo(column.dtype) if python is int else None

    def coerce(value: Any) -> Any:
        if numbers and isinstance(value, str):
            if value not in numbers:
                raise misfit(column, value)
            return numbers[value]
        if isinstance(value, (np.ndarray, np.generic)) and np.ndim(value) == 0:
            value = value.item()
        # What Gymnasium takes as a reward (`SupportsFloat`): tensors, fractions, ...
        if python is float and hasattr(value, "__float__") and not isinstance(value, np.ndarray):
            try:
                return float(value)
            except (TypeError, ValueError, OverflowError) as error:
                raise misfit(column, value) from error
        if python is int and isinstance(value, int):
            if limits is None or not limits.min <= value <= limits.max:
                raise misfit(column, value)
            return int(value)
        if python is bool and isinstance(value, int) and value in (0, 1):
            return bool(value)
        raise misfit(column, value)

    return coerce


def as_array(column: Column, value: Any) -> Array:
    """Return `value` as an array of the column's dtype and shape.

    Raises:
        ChannelError: a channel's value is not of its form.
        SpaceError: an observation or action is not.
    """
    try:
        result = np.asarray(value)
        if result.dtype != np.dtype(column.dtype):
            if result.dtype.kind not in "biuf":
                raise TypeError(f"{result.dtype} is not numeric")
            with np.errstate(invalid="ignore", over="ignore"):
                narrowed = result.astype(column.dtype)
            # A float64 may lose digits to a float32; an integer may not become another.
            if narrowed.dtype.kind in "biu" and not np.array_equal(narrowed, result):
                raise OverflowError(f"not all fit {column.dtype}")
            result = narrowed
    except (TypeError, ValueError, OverflowError) as error:
        raise misfit(column, value) from error
    if result.shape != column.shape:
        raise misfit(column, value)
    # Into an array of our own: one that is equal may still name its dtype otherwise
    # ("<f4", "longlong"), which the compiled packer does not take.
    plain = np.empty(column.shape, column.dtype)
    plain[...] = result
    return plain


def as_rows(column: Column, values: Any, count: int) -> list[Any]:
    """Return a whole column as `count` values, each as a step's would be.

    Raises:
        ChannelError: of another length or form.
        SpaceError: observations or actions of another form.
    """
    if len(values) != count:
        raise ChannelError(
            f"expected {count} rows of {column.name!r}, one a step, got {len(values)}; "
            "hand in one row a step"
        )
    spec = spec_for(column)
    if isinstance(values, np.ndarray) and spec.code in "qd?D" and values.dtype != object:
        values = values.tolist()
    rows = []
    for value in values:
        plain = _plain(spec, value) if spec.code != "o" else value
        rows.append([*plain] if spec.code == "D" else value if spec.code == "a" else plain)
    return rows


def of_a_space(column: Column) -> bool:
    """Return whether a column holds observations or actions."""
    return column.name.split(".")[0] in ("observation", "action", "final_observation")


def misfit(column: Column, value: Any) -> ChannelError | SpaceError:
    """Return the error for a value that is not of its column's form."""
    shape = f" of shape {column.shape}" if column.shape else ""
    if column.labels:
        shape = f" or one of {list(column.labels)}"
    if column.name == "reward":
        return ChannelError(
            f"expected a reward as one number, got {_shown(value)}; hand in a float, or what "
            "float() takes, and what else there is in a channel of its own"
        )
    space = of_a_space(column)
    kind = SpaceError if space else ChannelError
    return kind(
        f"expected {column.name!r} as {column.dtype}{shape}, got {_shown(value)}; "
        f"{'check the space' if space else 'declare the channel as what is recorded'}"
    )


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape:
        return f"{getattr(value, 'dtype', type(value).__name__)} of shape {tuple(shape)}"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
