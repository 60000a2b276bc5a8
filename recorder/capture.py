"""The training thread's side of recording: append to plain lists, and nothing that waits.

`Capture` holds one list a column. The training thread only ever appends to their ends;
the writer thread only ever cuts from their fronts. The column appended last (`reward`)
says how many steps are whole, so no lock is taken per step.

The function that records a step is made once, for the columns of the run, from a short
text (as `dataclasses` makes `__init__`): each check and append stands in it directly,
which costs a third of a loop over columns (`docs/performance.md` has the table).
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recorder.columns import Column
from recorder.episode import Episode
from recorder.errors import ChannelError, SpaceError
from recorder.layout import Layout
from recorder.packing import pack
from recorder.spaces import flattener

ROW_WIDTH_MAX = 16
_TYPECODES = {"int64": "q", "float64": "d", "bool": "B", "uint8": "B", "int32": "i", "float32": "f"}

Array = np.ndarray[Any, Any]


class ScalarBuffer:
    """One number a step, kept as the Python object it came as until the writer takes it."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.values: list[Any] = []
        self._python = {"b": bool, "f": float}.get(np.dtype(column.dtype).kind, int)
        self._limits = np.iinfo(column.dtype) if np.dtype(column.dtype).kind in "iu" else None

    def code(self, at: str) -> tuple[str, str]:
        """Source lines: the check, and the append."""
        kind = self._python.__name__
        return (
            f"if {at}.__class__ is not _{kind}: {at} = _coerce_{at}({at})",
            f"_append_{at}({at})",
        )

    def names(self, at: str) -> dict[str, Any]:
        """What the source lines refer to."""
        return {
            f"_{self._python.__name__}": self._python,
            f"_coerce_{at}": self.coerce,
            f"_append_{at}": self.values.append,
        }

    def coerce(self, value: Any) -> Any:
        """Return `value` as this column's Python type."""
        if isinstance(value, (np.ndarray, np.generic)) and np.ndim(value) == 0:
            value = value.item()
        if self._python is float and isinstance(value, (int, float)):
            return float(value) if not isinstance(value, int) else self._float_of(value)
        if self._python is bool and (value == 0 or value == 1) and isinstance(value, (bool, int)):
            return bool(value)
        if self._python is int and isinstance(value, int):
            return int(value)
        raise _misfit(self.column, value)

    def _float_of(self, value: int) -> float:
        try:
            return float(value)
        except OverflowError as error:
            raise _misfit(self.column, value) from error

    def coerce_many(self, values: Any, count: int) -> list[Any]:
        """Return `count` values as Python objects, checked."""
        rows = values.tolist() if isinstance(values, np.ndarray) else list(values)
        if len(rows) != count:
            raise _miscount(self.column, count, len(rows))
        kind = self._python
        return [v if v.__class__ is kind else self.coerce(v) for v in rows]

    def extend(self, rows: Any) -> None:
        """Append what `coerce_many` returned."""
        self.values.extend(rows)

    def array(self, head: list[Any], count: int) -> Array:
        """Return rows that were cut off as an array, `(count,)`."""
        code = _TYPECODES.get(self.column.dtype)
        try:
            if code is None:
                return np.array(head, dtype=self.column.dtype)
            return np.frombuffer(array(code, head), dtype=self.column.dtype)
        except OverflowError:
            # An integer beyond the dtype: keep what fits, clip what does not.
            low, high = self._limits.min, self._limits.max  # type: ignore[union-attr]
            return np.array([min(max(v, low), high) for v in head], dtype=self.column.dtype)


class RowBuffer:
    """A short row of numbers a step, laid flat: `list.extend` copies it in one call."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.values: list[Any] = []
        self._dtype = np.dtype(column.dtype)

    def code(self, at: str) -> tuple[str, str]:
        """Source lines: the check, and the append."""
        return (
            f"if {at}.__class__ is not _list or _len({at}) != {self.column.width}: "
            f"{at} = _coerce_{at}({at})",
            f"_append_{at}({at})",
        )

    def names(self, at: str) -> dict[str, Any]:
        """What the source lines refer to."""
        return {"_list": list, f"_coerce_{at}": self.coerce, f"_append_{at}": self.values.extend}

    def coerce(self, value: Any) -> list[Any]:
        """Return `value` as a list of the right length."""
        rows: list[Any] = _as_array(self.column, value).tolist()
        return rows

    def coerce_many(self, values: Any, count: int) -> list[Any]:
        """Return `count` rows laid flat, checked."""
        flat: list[Any] = _as_rows(self.column, values, count).reshape(-1).tolist()
        return flat

    def extend(self, rows: Any) -> None:
        """Append what `coerce_many` returned."""
        self.values.extend(rows)

    def array(self, head: list[Any], count: int) -> Array:
        """Return rows that were cut off as an array, `(count, width)`."""
        code = _TYPECODES.get(self.column.dtype)
        try:
            flat = array(code, head) if code else np.array(head, dtype=self._dtype)
        except (TypeError, ValueError, OverflowError):
            # A list of the right length with something in it that is no number of this
            # dtype: what converts is kept, the rest is NaN (or 0 for integers).
            flat = np.array([_number_or_nothing(v, self._dtype) for v in head], self._dtype)
        return np.frombuffer(flat, dtype=self._dtype).reshape(count, *self.column.shape)


class ArrayBuffer:
    """An array a step (a Box observation, an image), copied at once as bytes."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.values: list[bytes] = []
        self._dtype = np.dtype(column.dtype)

    def code(self, at: str) -> tuple[str, str]:
        """Source lines: the check, and the append."""
        return (
            f"if {at}.__class__ is not _ndarray or {at}.dtype != _dtype_{at} "
            f"or {at}.shape != _shape_{at}: {at} = _coerce_{at}({at})",
            f"_append_{at}({at}.tobytes())",
        )

    def names(self, at: str) -> dict[str, Any]:
        """What the source lines refer to."""
        return {
            "_ndarray": np.ndarray,
            f"_dtype_{at}": self._dtype,
            f"_shape_{at}": self.column.shape,
            f"_coerce_{at}": self.coerce,
            f"_append_{at}": self.values.append,
        }

    def coerce(self, value: Any) -> Array:
        """Return `value` as an array of the right dtype and shape."""
        return _as_array(self.column, value)

    def coerce_many(self, values: Any, count: int) -> list[bytes]:
        """Return `count` arrays as bytes, checked."""
        return [row.tobytes() for row in _as_rows(self.column, values, count)]

    def extend(self, rows: Any) -> None:
        """Append what `coerce_many` returned."""
        self.values.extend(rows)

    def array(self, head: list[bytes], count: int) -> Array:
        """Return rows that were cut off as an array, `(count, *shape)`."""
        return np.frombuffer(b"".join(head), self._dtype).reshape(count, *self.column.shape)


class PackedBuffer:
    """A value without a fixed size a step, packed at once (it may change later)."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.values: list[bytes] = []

    def code(self, at: str) -> tuple[str, str]:
        """Source lines: the check, and the append."""
        return f"{at} = _pack({at})", f"_append_{at}({at})"

    def names(self, at: str) -> dict[str, Any]:
        """What the source lines refer to."""
        return {"_pack": pack, f"_append_{at}": self.values.append}

    def coerce(self, value: Any) -> bytes:
        """Return `value` as bytes."""
        return pack(value)

    def coerce_many(self, values: Any, count: int) -> list[bytes]:
        """Return `count` values as bytes."""
        rows = [pack(value) for value in values]
        if len(rows) != count:
            raise _miscount(self.column, count, len(rows))
        return rows

    def extend(self, rows: Any) -> None:
        """Append what `coerce_many` returned."""
        self.values.extend(rows)

    def array(self, head: list[bytes], count: int) -> Array:
        """Return rows that were cut off as an object array, `(count,)`."""
        rows = np.empty(count, dtype=object)
        rows[:] = head
        return rows


Buffer = ScalarBuffer | RowBuffer | ArrayBuffer | PackedBuffer


def buffer_for(column: Column) -> Buffer:
    """Return the cheapest buffer for a column."""
    if column.packed:
        return PackedBuffer(column)
    if not column.shape:
        return ScalarBuffer(column)
    short = len(column.shape) == 1 and column.width <= ROW_WIDTH_MAX
    # Environments hand out arrays; agents hand out rows of a table, which are lists.
    if short and column.name.split(".")[0] not in ("observation", "action", "final_observation"):
        return RowBuffer(column)
    return ArrayBuffer(column)


Mark = tuple[Any, ...]
"""The end of an episode: after which step, and what is known of it only then.

A plain tuple in the order of `MARK_FIELDS`, since the training thread makes one for each
episode. `position` counts steps since the recorder was made; `flags` are the codec's;
`final` is the final observation's leaves, or None.
"""

MARK_FIELDS = (
    "position", "final", "flags", "epsilon", "seed", "stage", "started_at", "duration_s", "tags",
)  # fmt: skip


class Capture:
    """The lists between the training thread and the writer."""

    def __init__(self, layout: Layout, limit: int, on_full: Callable[[], None]) -> None:
        self.layout = layout
        self.lock = threading.Lock()
        self.taken = 0
        self.buffers = {column.name: buffer_for(column) for column in layout.steps}
        self.marks: list[Mark] = []
        self.marks_made = 0
        self._finals = [buffer_for(column) for column in layout.finals]
        self._flatten = flattener(layout.observation_space)
        self.rewards = self.buffers["reward"].values
        self.record_step = self._make_record_step(limit, on_full)

    def _make_record_step(self, limit: int, on_full: Callable[[], None]) -> Callable[..., None]:
        layout = self.layout
        # Names of ours begin with an underscore, which a channel's name cannot.
        names: dict[str, Any] = {"_full": on_full, "_rewards": self.rewards, "_len": len}
        checks: list[str] = []
        appends: list[str] = []

        def leaves(columns: Sequence[Column], value: str, flatten: Any) -> None:
            if flatten is not None:
                parts = [f"_{value}_{i}" for i in range(len(columns))]
                names[f"_flatten_{value}"] = _guarded(flatten, value)
                checks.append(f"({', '.join(parts)},) = _flatten_{value}({value})")
            else:
                parts = [value]
            for part, column in zip(parts, columns, strict=True):
                add(part, column)

        def add(at: str, column: Column) -> None:
            buffer = self.buffers[column.name]
            check, append = buffer.code(at)
            names.update(buffer.names(at))
            checks.append(check)
            appends.append(append)

        leaves(layout.observation, "observation", self._flatten)
        leaves(layout.action, "action", flattener(layout.action_space))
        for channel in layout.channels:
            add(channel.name, channel.column)
        if layout.infos:
            add("info", layout.steps[-1])
        # Reward goes last: its length is what the writer counts whole steps by.
        add("reward", self.buffers["reward"].column)
        keywords = [channel.name for channel in layout.channels]
        keywords += ["info=None"] if layout.infos else []
        signature = ", ".join(
            ["observation", "action", "reward", *(["*", *keywords] if keywords else [])]
        )
        body = [*checks, *appends, f"if _len(_rewards) >= {limit}: _full()"]
        source = f"def record_step({signature}):\n" + "".join(f"    {line}\n" for line in body)
        exec(compile(source, "<record_step>", "exec"), names)  # the columns' names are checked
        function: Callable[..., None] = names["record_step"]
        return function

    def refuse(self, refusal: Callable[..., None]) -> None:
        """Make `record_step` call `refusal` from now on, for those too who hold on to it."""
        names: dict[str, Any] = self.record_step.__globals__
        for name in tuple(names):
            if name.startswith("_append_"):
                names[name] = refusal

    def flatten_final(self, observation: Any) -> tuple[Any, ...]:
        """Return the leaves of a final observation, checked and copied."""
        leaves = (
            (observation,)
            if self._flatten is None
            else _guarded(self._flatten, "final_observation")(observation)
        )
        return tuple(b.coerce(leaf) for b, leaf in zip(self._finals, leaves, strict=True))

    def mark(self, mark: Mark) -> None:
        """Add the end of an episode. Hold `lock`."""
        self.marks.append(mark)
        self.marks_made += 1

    def position(self) -> int:
        """Steps recorded so far. Hold `lock`."""
        return self.taken + len(self.rewards)

    def extend(self, episode: Episode, count: int) -> None:
        """Append an episode's steps at once; nothing is appended if any column does not fit."""
        layout = self.layout
        given: dict[str, Any] = {"reward": episode.rewards}
        given |= _leaf_columns(layout.observation, self._flatten, episode.observations[:count])
        given |= _leaf_columns(layout.action, flattener(layout.action_space), episode.actions)
        declared = {channel.name for channel in layout.channels}
        if set(episode.channels) != declared:
            raise ChannelError(
                f"expected the channels {sorted(declared)}, got {sorted(episode.channels)}; "
                "hand in each declared channel, and declare what is handed in"
            )
        given |= episode.channels
        if layout.infos:
            given["info"] = episode.infos if episode.infos is not None else [None] * count
        ready = {
            name: buffer.coerce_many(given[name], count) for name, buffer in self.buffers.items()
        }
        with self.lock:
            for name, buffer in self.buffers.items():
                buffer.extend(ready[name])

    def take(self, most: int) -> tuple[dict[str, Array], list[Mark], int]:
        """Cut off up to `most` whole steps and the marks that lie within them.

        Returns:
            The columns by name, the marks, and the position of the first row.
        """
        with self.lock:
            count = min(len(self.rewards), most)
            first = self.taken
            heads = {name: _cut(buffer, count) for name, buffer in self.buffers.items()}
            self.taken += count
            within = 0
            for mark in self.marks:
                if mark[0] > self.taken:
                    break
                within += 1
            marks = self.marks[:within]
            del self.marks[:within]
        columns = {name: b.array(heads[name], count) for name, b in self.buffers.items()}
        return columns, marks, first

    def finals_of(self, marks: Sequence[Mark]) -> dict[str, Array]:
        """Return the final observations' columns of `marks`, a blank row where there is none."""
        blanks = [b"" if c.packed else np.zeros(c.shape, c.dtype) for c in self.layout.finals]
        leaves = [mark[1] if mark[1] is not None else blanks for mark in marks]
        finals: dict[str, Array] = {}
        for index, column in enumerate(self.layout.finals):
            if column.shape or column.packed:
                rows = column.empty(len(marks))
                for row, leaf in enumerate(leaves):
                    rows[row] = leaf[index]
            else:
                rows = np.array([leaf[index] for leaf in leaves], dtype=column.dtype)
            finals[column.name] = rows
        return finals


def _cut(buffer: Buffer, count: int) -> list[Any]:
    """Cut `count` rows off the front; the training thread only touches the back."""
    size = count * buffer.column.width if isinstance(buffer, RowBuffer) else count
    head = buffer.values[:size]
    del buffer.values[:size]
    return head


def _leaf_columns(
    columns: Sequence[Column], flatten: Callable[[Any], tuple[Any, ...]] | None, values: Any
) -> dict[str, Any]:
    if flatten is None:
        return {columns[0].name: values}
    guarded = _guarded(flatten, columns[0].name.split(".")[0])
    rows = [guarded(value) for value in values]
    return {column.name: [row[i] for row in rows] for i, column in enumerate(columns)}


def _guarded(flatten: Callable[[Any], tuple[Any, ...]], what: str) -> Callable[..., Any]:
    def guarded(value: Any) -> tuple[Any, ...]:
        try:
            return flatten(value)
        except (KeyError, IndexError, TypeError) as error:
            raise SpaceError(
                f"expected a {what} with all parts of its space, got {_shown(value)} "
                f"(missing {error}); return what the space declares"
            ) from error

    return guarded


def _as_array(column: Column, value: Any) -> Array:
    try:
        result = np.asarray(value)
        if result.dtype != np.dtype(column.dtype):
            if result.dtype.kind not in "biuf":
                raise TypeError(f"{result.dtype} is not numeric")
            result = result.astype(column.dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise _misfit(column, value) from error
    if result.shape != column.shape:
        raise _misfit(column, value)
    return result


def _as_rows(column: Column, values: Any, count: int) -> Array:
    try:
        result = np.asarray(values, dtype=column.dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise _misfit(column, values) from error
    if result.shape != (count, *column.shape):
        raise ChannelError(
            f"expected {column.name!r} of shape {(count, *column.shape)}, got {result.shape}; "
            "hand in one row a step"
        )
    return result


def _number_or_nothing(value: Any, dtype: np.dtype[Any]) -> Any:
    try:
        return np.asarray(value).astype(dtype).item()
    except (TypeError, ValueError, OverflowError):
        return float("nan") if dtype.kind == "f" else 0


def _misfit(column: Column, value: Any) -> ChannelError | SpaceError:
    shape = f" of shape {column.shape}" if column.shape else ""
    space = column.name.split(".")[0] in ("observation", "action", "final_observation")
    kind = SpaceError if space else ChannelError
    return kind(
        f"expected {column.name!r} as {column.dtype}{shape}, got {_shown(value)}; "
        f"{'check the space' if space else 'declare the channel as what is recorded'}"
    )


def _miscount(column: Column, count: int, came: int) -> ChannelError:
    return ChannelError(
        f"expected {count} rows of {column.name!r}, one a step, got {came}; hand in one row a step"
    )


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape:
        return f"{getattr(value, 'dtype', type(value).__name__)} of shape {tuple(shape)}"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


__all__ = ["MARK_FIELDS", "ROW_WIDTH_MAX", "Capture", "Mark", "buffer_for"]
