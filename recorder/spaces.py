"""The values of a described space as flat columns, and back. No Gymnasium needed.

A space's description (`recorder.describe`) stands once in the run; from it alone a reader
knows the columns that hold its values. Spaces of
a fixed size become numeric columns, one per leaf of a Dict or Tuple. Values without a
fixed size (Text, Sequence, Graph, OneOf) become one `packed` column of msgpack bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from recorder.columns import Column
from recorder.packing import unpack

Description = dict[str, Any]

_PACKED = ("Text", "Sequence", "Graph", "OneOf")


def columns_of(description: Description, name: str) -> tuple[Column, ...]:
    """Return the columns that hold one value of the described space per row.

    Args:
        description: what `describe.describe` returned.
        name: the first part of the columns' names: `observation`, `observation.position`.
    """
    return tuple(column for column, _ in leaves_of(description, name))


def leaves_of(description: Description, name: str) -> Iterator[tuple[Column, Description]]:
    """Return those columns, each with the description of the leaf that it holds."""
    kind = description["type"]
    if kind == "Dict":
        for key, inner in description["spaces"].items():
            yield from leaves_of(inner, f"{name}.{key}")
    elif kind == "Tuple":
        for index, inner in enumerate(description["spaces"]):
            yield from leaves_of(inner, f"{name}.{index}")
    elif kind == "Discrete":
        yield Column(name, "int64"), description
    elif kind in _PACKED:
        yield Column(name, "packed"), description
    else:
        yield Column(name, description["dtype"], tuple(description["shape"])), description


def flattener(description: Description) -> Callable[[Any], tuple[Any, ...]] | None:
    """Return a function from a value to its leaves, or None where value and leaf are one."""
    if description["type"] not in ("Dict", "Tuple"):
        return None
    parts: list[tuple[Any, Callable[[Any], tuple[Any, ...]] | None]]
    if description["type"] == "Dict":
        parts = [(key, flattener(inner)) for key, inner in description["spaces"].items()]
    else:
        parts = [(index, flattener(inner)) for index, inner in enumerate(description["spaces"])]

    def flatten(value: Any) -> tuple[Any, ...]:
        leaves: list[Any] = []
        for key, inner in parts:
            leaf = value[key]
            if inner is None:
                leaves.append(leaf)
            else:
                leaves.extend(inner(leaf))
        return tuple(leaves)

    return flatten


def unflatten(description: Description, leaves: Iterator[Any]) -> Any:
    """Build one value of the described space again from its leaves, in order."""
    kind = description["type"]
    if kind == "Dict":
        return {key: unflatten(inner, leaves) for key, inner in description["spaces"].items()}
    if kind == "Tuple":
        return tuple(unflatten(inner, leaves) for inner in description["spaces"])
    leaf = next(leaves)
    if kind in _PACKED:
        return unpack(leaf)
    return leaf


def is_composite(description: Description) -> bool:
    """Whether a value of the space is more than one numeric array."""
    return description["type"] in ("Dict", "Tuple", *_PACKED)


def gather(description: Description, name: str, columns: Mapping[str, Any], count: int) -> Any:
    """Return `count` values of the described space from decoded columns.

    Returns:
        The numeric array itself, shape `(count, ...)`, for spaces that are one array; else
        an object array, shape `(count,)`, of plain values (dict, tuple, str, ...).
    """
    if not is_composite(description):
        return _as_declared(description, columns[name])
    leaves = [
        _as_declared(leaf, columns[column.name]) for column, leaf in leaves_of(description, name)
    ]
    values = np.empty(count, dtype=object)
    for row in range(count):
        values[row] = unflatten(description, iter([leaf[row] for leaf in leaves]))
    return values


def _as_declared(description: Description, rows: Any) -> Any:
    """A leaf's rows in its space's dtype: those of a `Discrete` stand in columns of int64."""
    if description["type"] != "Discrete" or "dtype" not in description or not len(rows):
        return rows
    limits = np.iinfo(description["dtype"])
    within = limits.min <= rows.min() and rows.max() <= limits.max
    return rows.astype(limits.dtype) if within else rows  # what lies outside its space is kept
