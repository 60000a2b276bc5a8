"""How a column's values are taken: what may come, what it becomes, and what is said of the rest.

A `Spec` says it for one column, to both packers; `spec_for` makes it. Reading is here as well:
the bytes that a packer gave as an array again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from recorder.columns import Column
from recorder.errors import ChannelError, SpaceError
from recorder.packing import pack

ROW_WIDTH_MAX = 16
REQUIRED = ...
PLAIN: dict[str, type] = {"q": int, "d": float, "?": bool}
"""The class of the values that a packer takes as they are, by a specification's code."""
_FLOATS = {float}

Array = np.ndarray[Any, Any]


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
    fallback: Any = REQUIRED

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

    def part(self, rows: Any) -> Any:
        """Return rows as `Packer.extend` takes them, which is what `rows` makes of it again.

        Args:
            rows: an array of the column's dtype, or one that is cast to it, `(count, *shape)`;
                where the column is packed, a list of bytes.
        """
        return rows if self.code == "o" else np.ascontiguousarray(rows, self.stored)

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


def spec_for(column: Column, fallback: Any = REQUIRED) -> Spec:
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


def as_plain(spec: Spec, value: Any) -> Any:
    """A value as its column takes it, copied where it could change later."""
    code = spec.code
    if code in PLAIN:
        if value.__class__ is not PLAIN[code] or (code == "q" and not _within(spec, value)):
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
        plain = as_plain(spec, value) if spec.code != "o" else value
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
