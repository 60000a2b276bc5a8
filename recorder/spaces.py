"""Gymnasium spaces as plain data, and their values as flat columns.

A space becomes a JSON description that stands once in the run; from the description
alone (no Gymnasium needed) a reader knows the columns that hold its values. Spaces of
a fixed size become numeric columns, one per leaf of a Dict or Tuple. Values without a
fixed size (Text, Sequence, Graph, OneOf) become one `packed` column of msgpack bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces

from recorder.columns import Column
from recorder.errors import SpaceError
from recorder.packing import pack, unpack

Description = dict[str, Any]

_PACKED = ("Text", "Sequence", "Graph", "OneOf")
_LIMITS_SHOWN = 64


def describe(space: gym_spaces.Space[Any]) -> Description:
    """Return `space` as JSON-ready data.

    Raises:
        SpaceError: the space is none of Gymnasium's fundamental or composite spaces.
    """
    match space:
        case gym_spaces.Discrete():
            return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
        case gym_spaces.Box():
            return {
                "type": "Box",
                "dtype": _dtype(space),
                "shape": list(space.shape),
                "low": _limits(space.low),
                "high": _limits(space.high),
            }
        case gym_spaces.MultiDiscrete():
            return {
                "type": "MultiDiscrete",
                "nvec": space.nvec.tolist(),
                "dtype": _dtype(space),
                "shape": list(space.shape),
            }
        case gym_spaces.MultiBinary():
            return {"type": "MultiBinary", "dtype": _dtype(space), "shape": list(space.shape)}
        case gym_spaces.Dict():
            described = {
                "type": "Dict",
                "spaces": {k: describe(v) for k, v in space.spaces.items()},
            }
            _check_keys(described)
            return described
        case gym_spaces.Tuple():
            return {"type": "Tuple", "spaces": [describe(s) for s in space.spaces]}
        case gym_spaces.Text():
            return {"type": "Text", "max_length": int(space.max_length)}
        case gym_spaces.Sequence():
            return {
                "type": "Sequence",
                "space": describe(space.feature_space),
                "stack": bool(space.stack),
            }
        case gym_spaces.Graph():
            edge = space.edge_space
            return {
                "type": "Graph",
                "node_space": describe(space.node_space),
                "edge_space": None if edge is None else describe(edge),
            }
        case gym_spaces.OneOf():
            return {"type": "OneOf", "spaces": [describe(s) for s in space.spaces]}
    raise SpaceError(
        f"expected one of Gymnasium's spaces, got {type(space).__name__}; "
        "wrap the environment so that its spaces are Gymnasium's own"
    )


def _dtype(space: gym_spaces.Space[Any]) -> str:
    """The name of a dtype, whatever the order of its bytes: columns have the machine's."""
    dtype = np.dtype(space.dtype)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise SpaceError(
            f"expected a boolean, integer or floating dtype of at most 64 bits, got {space}; "
            "wrap the environment so that it returns one"
        )
    return dtype.name


def _check_keys(description: Description) -> None:
    """Refuse a Dict whose keys JSON would change, or whose columns would share a name."""
    if not all(isinstance(key, str) for key in description["spaces"]):
        raise SpaceError(
            f"expected text as keys of a Dict space, got {list(description['spaces'])}; "
            "name its parts"
        )
    names = [column.name for column in columns_of(description, "")]
    for name in names:
        if names.count(name) > 1:
            raise SpaceError(
                f"expected a Dict space whose parts have names of their own, got {name[1:]!r} "
                "twice; use keys without dots"
            )


def _limits(bound: np.ndarray[Any, Any]) -> Any:
    """One number where all are equal, a list where there are few, else nothing."""
    flat = bound.reshape(-1)
    if flat.size and (flat == flat[0]).all():
        return _json_number(flat[0])
    if flat.size <= _LIMITS_SHOWN:
        return [_json_number(x) for x in flat]
    return None


def _json_number(x: Any) -> Any:
    value = x.item()
    if isinstance(value, float) and not np.isfinite(value):
        return "Infinity" if value > 0 else "-Infinity" if value < 0 else "NaN"
    return value


def columns_of(description: Description, name: str) -> tuple[Column, ...]:
    """Return the columns that hold one value of the described space per row.

    Args:
        description: what `describe` returned.
        name: the first part of the columns' names: `observation`, `observation.position`.
    """
    return tuple(column for column, _ in _leaves(description, name))


def _leaves(description: Description, name: str) -> Iterator[tuple[Column, Description]]:
    kind = description["type"]
    if kind == "Dict":
        for key, inner in description["spaces"].items():
            yield from _leaves(inner, f"{name}.{key}")
    elif kind == "Tuple":
        for index, inner in enumerate(description["spaces"]):
            yield from _leaves(inner, f"{name}.{index}")
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
        return columns[name]
    names = [column.name for column in columns_of(description, name)]
    values = np.empty(count, dtype=object)
    for row in range(count):
        values[row] = unflatten(description, iter([columns[leaf][row] for leaf in names]))
    return values


__all__ = [
    "Description",
    "columns_of",
    "describe",
    "flattener",
    "gather",
    "is_composite",
    "pack",
    "unflatten",
]
