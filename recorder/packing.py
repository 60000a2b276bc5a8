"""Values without a fixed size as bytes: msgpack, with numpy arrays kept exactly.

No pickle: what comes back is plain data, whoever wrote the file. A tuple is a list with a
marker in front. (Bytes within bytes would do as well, but each level of them takes 45 KiB
of the reader's stack, so that a foreign file could crash it.)
"""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np

from recorder.errors import DamagedTape, SpaceError

_ARRAY, _SCALAR, _TUPLE, _BIG_INT, _GRAPH = 1, 2, 3, 4, 5
_KINDS = "biufc"
_DIGITS_MAX = 4300  # what Python converts, unless it is told otherwise
_TUPLE_MARK, _GRAPH_MARK = msgpack.ExtType(_TUPLE, b""), msgpack.ExtType(_GRAPH, b"")


def pack(value: Any) -> bytes:
    """Return `value` (numbers, text, bytes, lists, tuples, dicts, numpy arrays) as bytes.

    Raises:
        SpaceError: something in `value` is no plain data.
    """
    try:
        return bytes(msgpack.packb(value, default=_encode, strict_types=True))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise SpaceError(
            f"expected numbers, text, lists, dicts or numpy arrays, got {type(value).__name__} "
            f"({error}); turn it into plain data before recording it"
        ) from error


def unpack(data: bytes) -> Any:
    """Return the value that `pack` was given."""
    try:
        return msgpack.unpackb(data, ext_hook=_decode, list_hook=_unmarked, strict_map_key=False)
    except DamagedTape:
        raise
    except Exception as error:  # msgpack raises many kinds on bad bytes
        raise DamagedTape(f"expected a packed value, got bytes that do not unpack: {error}") from (
            error
        )


def _encode(value: Any) -> Any:
    if isinstance(value, tuple):
        if hasattr(value, "nodes") and hasattr(value, "edge_links"):  # gymnasium's GraphInstance
            return [_GRAPH_MARK, *value]
        return [_TUPLE_MARK, *value]
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _KINDS:
            return value.tolist()
        array = np.ascontiguousarray(value)
        head = [array.dtype.str, list(value.shape)]
        return msgpack.ExtType(_ARRAY, msgpack.packb([*head, array.tobytes()]))
    if isinstance(value, np.generic) and value.dtype.kind in _KINDS:
        return msgpack.ExtType(_SCALAR, msgpack.packb([value.dtype.str, value.tobytes()]))
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        if type(value) is not int:
            return int(value)
        digits = str(value).encode()
        if len(digits) > _DIGITS_MAX:
            raise ValueError(f"an integer of more than {_DIGITS_MAX} digits")
        return msgpack.ExtType(_BIG_INT, digits)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, frozenset):  # may be the key of a dict: as what can be one
        return [_TUPLE_MARK, *value]
    if isinstance(value, (list, set)):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no plain data")


def _decode(code: int, data: bytes) -> Any:
    if code == _ARRAY:
        dtype, shape, raw = msgpack.unpackb(data)
        return np.frombuffer(raw, dtype=_numeric(dtype)).reshape(shape).copy()
    if code == _SCALAR:
        dtype, raw = msgpack.unpackb(data)
        return np.frombuffer(raw, dtype=_numeric(dtype))[0]
    if code == _TUPLE:
        return _TUPLE_MARK
    if code == _GRAPH:
        return _GRAPH_MARK
    if code == _BIG_INT:
        if len(data) > _DIGITS_MAX:
            raise DamagedTape(f"expected an integer, got {len(data):,} digits")
        return int(data)
    raise DamagedTape(f"expected a packed value, got an unknown extension type {code}")


def _unmarked(items: list[Any]) -> Any:
    if items and items[0] is _TUPLE_MARK:
        return tuple(items[1:])
    if items and items[0] is _GRAPH_MARK:
        from gymnasium.spaces import GraphInstance

        return GraphInstance(*items[1:])
    return items


def _numeric(dtype: str) -> np.dtype[Any]:
    result = np.dtype(dtype)
    if result.kind not in _KINDS:
        raise DamagedTape(f"expected a numeric dtype, got {dtype!r}")
    return result
