"""Columns as a `pandas.DataFrame` or a `pyarrow.Table`. Both are extras."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from recorder.errors import MissingExtra


def need(module: str, extra: str) -> Any:
    """Return a module of an extra.

    Raises:
        MissingExtra: it is not installed; the message is the line to type.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"expected the package {module.partition('.')[0]!r}, got none of it ({error}); "
            f'type: pip install "episode-reel[{extra}]"'
        ) from error


def data_frame(columns: Mapping[str, Any], index: str | None = None) -> Any:
    """Return a `pandas.DataFrame` of columns, each `(n,)` or `(n, ...)`.

    A column with several numbers a row becomes one of arrays.

    Raises:
        MissingExtra: pandas is not installed.
    """
    pandas = need("pandas", "pandas")
    frame = pandas.DataFrame({name: _one_a_row(values) for name, values in columns.items()})
    return frame if index is None else frame.set_index(index)


def arrow_table(columns: Mapping[str, Any]) -> Any:
    """Return a `pyarrow.Table` of columns, each `(n,)` or `(n, ...)`.

    A column with several numbers a row becomes a list of fixed size, row by row where it has
    several dimensions (the field's metadata has the `shape`).

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    pa = need("pyarrow", "parquet")
    fields, arrays = [], []
    for name, values in columns.items():
        metadata = None
        if isinstance(values, np.ndarray) and values.ndim > 1:
            width = int(np.prod(values.shape[1:]))
            flat = pa.array(np.ascontiguousarray(values).reshape(-1))
            array = pa.FixedSizeListArray.from_arrays(flat, width)
            metadata = {"shape": ",".join(map(str, values.shape[1:]))}
        else:
            array = pa.array(values)
        fields.append(pa.field(name, array.type, metadata=metadata))
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _one_a_row(values: Any) -> Any:
    return list(values) if isinstance(values, np.ndarray) and values.ndim > 1 else values
