"""Gymnasium spaces as plain data that stands once in a run."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces

from recorder.errors import SpaceError
from recorder.spaces import Description, columns_of

_LIMITS_SHOWN = 64


def describe(space: gym_spaces.Space[Any]) -> Description:
    """Return `space` as JSON-ready data.

    Raises:
        SpaceError: the space is none of Gymnasium's fundamental or composite spaces.
    """
    match space:
        case gym_spaces.Discrete():
            described = {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
            dtype = np.dtype(space.dtype).name
            return described | ({"dtype": dtype} if dtype != "int64" else {})
        case gym_spaces.Box():
            return {
                "type": "Box",
                "dtype": _dtype(space),
                "shape": list(space.shape),
                "low": _limits(space.low),
                "high": _limits(space.high),
            }
        case gym_spaces.MultiDiscrete():
            described = {
                "type": "MultiDiscrete",
                "nvec": space.nvec.tolist(),
                "dtype": _dtype(space),
                "shape": list(space.shape),
            }
            return described | ({"start": space.start.tolist()} if space.start.any() else {})
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
            _check_characters(space)
            described = {"type": "Text", "max_length": int(space.max_length)}
            usual = gym_spaces.Text(1)
            if space.min_length != usual.min_length:
                described["min_length"] = int(space.min_length)
            if space.character_set != usual.character_set:
                described["charset"] = "".join(sorted(space.character_set))
            return described
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


def space_of(description: Description) -> gym_spaces.Space[Any]:
    """Return the Gymnasium space that was described.

    Bounds of a Box that are not in its description (there were more than 64 different ones)
    are those of its dtype.
    """
    d = description
    match d["type"]:
        case "Discrete":
            kind = np.dtype(d.get("dtype", np.int64)).type
            return gym_spaces.Discrete(d["n"], start=d["start"], dtype=kind)
        case "Box":
            dtype, shape = np.dtype(d["dtype"]), tuple(d["shape"])
            low, high = (_bounds(d[side], dtype, shape, side == "low") for side in ("low", "high"))
            return gym_spaces.Box(low, high, shape, dtype.type)
        case "MultiDiscrete":
            nvec = np.array(d["nvec"])
            return gym_spaces.MultiDiscrete(nvec, np.dtype(d["dtype"]).type, start=d.get("start"))
        case "MultiBinary":
            shape = tuple(d["shape"])
            return gym_spaces.MultiBinary(shape[0] if len(shape) == 1 else list(shape))
        case "Dict":
            return gym_spaces.Dict({key: space_of(inner) for key, inner in d["spaces"].items()})
        case "Tuple":
            return gym_spaces.Tuple([space_of(inner) for inner in d["spaces"]])
        case "Text":
            more = {"charset": d["charset"]} if "charset" in d else {}
            return gym_spaces.Text(d["max_length"], min_length=d.get("min_length", 1), **more)
        case "Sequence":
            return gym_spaces.Sequence(space_of(d["space"]), stack=d["stack"])
        case "Graph":
            edge = d["edge_space"]
            nodes: Any = space_of(d["node_space"])
            edges: Any = None if edge is None else space_of(edge)
            return gym_spaces.Graph(nodes, edges)
        case "OneOf":
            return gym_spaces.OneOf([space_of(inner) for inner in d["spaces"]])
    raise SpaceError(f"expected the description of a space, got one of {d['type']!r}")


def _bounds(stored: Any, dtype: np.dtype[Any], shape: tuple[int, ...], low: bool) -> Any:
    if stored is None:
        if dtype.kind == "f":
            return np.full(shape, -np.inf if low else np.inf, dtype)
        if dtype.kind == "b":
            return np.full(shape, 0 if low else 1, dtype)
        limits = np.iinfo(dtype)
        return np.full(shape, limits.min if low else limits.max, dtype)
    if isinstance(stored, list):
        return np.array([float(x) if isinstance(x, str) else x for x in stored], dtype).reshape(
            shape
        )
    return np.full(shape, float(stored) if isinstance(stored, str) else stored, dtype)


def _dtype(space: gym_spaces.Space[Any]) -> str:
    """The name of a dtype, whatever the order of its bytes: columns have the machine's."""
    dtype = np.dtype(space.dtype)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise SpaceError(
            f"expected a boolean, integer or floating dtype of at most 64 bits, got {space}; "
            "wrap the environment so that it returns one"
        )
    return dtype.name


def _check_characters(space: gym_spaces.Text) -> None:
    """Refuse halves of characters, which are no text to files, msgpack or a browser."""
    halves = sorted(c for c in space.character_set if "\ud800" <= c <= "\udfff")
    if halves:
        raise SpaceError(
            f"expected a Text space of whole characters, got {halves[0]!r} in its charset; "
            "leave out U+D800 to U+DFFF"
        )


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
