"""Parquet: a directory with `steps.parquet` and `episodes.parquet`.

In both, `episode` is the key. A step's row has the observation that its action was chosen on;
an episode's row has the observation after the last one, `final_observation`. How spaces are
mapped:

- Discrete: a number. Box, MultiDiscrete, MultiBinary: a list of fixed size, row by row where
  they have several dimensions (the field's metadata has the `shape`); a number for shape ().
- Dict and Tuple: a struct of their parts. Text: text.
- Sequence, Graph, OneOf, and infos: JSON as text.

Facts of the run stand as JSON in the metadata of both tables, key `reel`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recorder.bulk import Stretch, scan_with
from recorder.codec import NO_FINAL, TERMINATED, TRUNCATED
from recorder.columns import Column
from recorder.errors import ExportError
from recorder.export import Options, Written
from recorder.export.values import (
    Array,
    dumps,
    need,
    run_facts,
    texts_of,
    unpacked_json,
    write_manifest,
)
from recorder.packing import unpack
from recorder.selection import Selection
from recorder.spaces import Description

if TYPE_CHECKING:
    from recorder.run import Run

ROWS, BYTES = 1 << 17, 32 << 20
"""A row group is written when it holds that many rows, or bytes."""


_EPISODE = {
    "episode": "int64", "first_step": "int64", "length": "int64", "episode_return": "float64",
    "terminated": "bool_", "truncated": "bool_", "incomplete": "bool_", "epsilon": "float64",
    "seed": "int64", "stage": "string", "started_at": "float64", "duration_s": "float64",
    "reason": "string", "tags": "string",
}  # fmt: skip
_FLAGS = ("terminated", "truncated", "incomplete")


def is_directory(options: Options) -> bool:
    """Two tables."""
    return True


def check(run: Run, out: Path, options: Options) -> None:
    """Every column has to have numbers in it."""
    need("pyarrow.parquet", "parquet")
    for column in run.layout.steps:
        if not column.packed and not column.width:
            raise ExportError(
                f"expected spaces that parquet can hold, got shape {column.shape} at "
                f"{column.name!r}; export it as npz or jsonl"
            )


def write(run: Run, selection: Selection, out: Path, options: Options, result: Written) -> None:
    """See `recorder.export.Format`."""
    write_manifest(out, run, "parquet")
    pool = ThreadPoolExecutor(1, "reel-parquet")
    finals = _Table(out / "episodes.parquet", _episode_fields(run), run, pool)
    steps = _Table(out / "steps.parquet", _step_fields(run), run, pool)
    texts = texts_of(run)
    try:
        for stretch, rows in scan_with(run, selection, _facts()):
            steps.add(_step_arrays(run, stretch, texts))
            result.steps += len(stretch)
            if rows:
                finals.add(_episode_arrays(run, stretch, rows, texts))
                result.episodes += len(rows)
        steps.close()
        finals.close()
    except BaseException:
        steps.abandon()
        finals.abandon()
        raise
    finally:
        pool.shutdown()


class _Table:
    """A Parquet file that grows by row groups.

    They are encoded and written on a thread of the pool while the next one is gathered: two are
    in memory at most.
    """

    def __init__(self, path: Path, fields: list[Any], run: Run, pool: ThreadPoolExecutor) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._pa = pa
        self._schema = pa.schema(fields, metadata={"reel": dumps(run_facts(run))})
        # Dictionaries cost more than they save where numbers hardly repeat.
        once = [field.name for field in fields if not pa.types.is_floating(field.type)
                and not pa.types.is_nested(field.type)]  # fmt: skip
        self._writer = pq.ParquetWriter(
            path, self._schema, compression="zstd", use_dictionary=once, version="2.6"
        )
        self._pool = pool
        self._writing: Future[None] | None = None
        self._waiting: list[Any] = []
        self._rows = self._bytes = 0

    def add(self, arrays: list[Any]) -> None:
        batch = self._pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= ROWS or self._bytes >= BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._written()
            table = self._pa.Table.from_batches(self._waiting, self._schema)
            self._writing = self._pool.submit(self._writer.write_table, table, ROWS)
            self._waiting, self._rows, self._bytes = [], 0, 0

    def _written(self) -> None:
        """Wait for the row group before; raise what writing it raised."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        self._flush()
        self._written()
        self._writer.close()

    def abandon(self) -> None:
        """Let go of a file that is not going to be whole."""
        with contextlib.suppress(Exception):
            self._written()
        with contextlib.suppress(Exception):
            self._writer.close()
        self._writer.is_open = False  # else it tries once more when it is collected


def _step_fields(run: Run) -> list[Any]:
    import pyarrow as pa

    layout = run.layout
    return [
        pa.field("episode", pa.int64(), False),
        pa.field("step", pa.int64(), False),
        _space_field("observation", layout.observation_space),
        _space_field("action", layout.action_space),
        pa.field("reward", pa.float64(), False),
        pa.field("terminated", pa.bool_(), False),
        pa.field("truncated", pa.bool_(), False),
        *(_column_field(channel.name, channel.column) for channel in layout.channels),
        *([pa.field("info", pa.string())] if layout.infos else []),
    ]


def _episode_fields(run: Run) -> list[Any]:
    import pyarrow as pa

    kinds = {name: getattr(pa, kind)() for name, kind in _EPISODE.items() if name != "tags"}
    kinds["tags"] = pa.list_(pa.string())
    return [
        *(pa.field(name, kind) for name, kind in kinds.items()),
        _space_field("final_observation", run.layout.observation_space),
    ]


def _space_field(name: str, space: Description) -> Any:
    import pyarrow as pa

    kind = space["type"]
    if kind in ("Dict", "Tuple"):
        return pa.field(name, pa.struct([_space_field(key, part) for key, part in _parts(space)]))
    if kind == "Text":
        return pa.field(name, pa.string())
    if kind in ("Sequence", "Graph", "OneOf"):
        return pa.field(name, pa.string(), metadata={"encoding": "json"})
    if kind == "Discrete":
        return pa.field(name, pa.int64())
    return _column_field(name, Column(name, space["dtype"], tuple(space["shape"])))


def _column_field(name: str, column: Column) -> Any:
    import pyarrow as pa

    kind = pa.from_numpy_dtype(np.dtype(column.dtype))
    if not column.shape:
        metadata = {"labels": dumps(column.labels)} if column.labels else None
        return pa.field(name, kind, metadata=metadata)
    shape = ",".join(map(str, column.shape))
    return pa.field(name, pa.list_(kind, column.width), metadata={"shape": shape})


def _parts(space: Description) -> list[tuple[str, Description]]:
    if space["type"] == "Dict":
        return list(space["spaces"].items())
    return [(str(index), part) for index, part in enumerate(space["spaces"])]


def _step_arrays(run: Run, stretch: Stretch, texts: frozenset[str]) -> list[Any]:
    layout, columns = run.layout, stretch.columns
    flags = np.zeros(len(stretch), np.uint8)
    flags[stretch.ends - 1] = stretch.flags
    arrays = [
        _array(stretch.episode),
        _array(stretch.step),
        _space_array("observation", layout.observation_space, columns, texts),
        _space_array("action", layout.action_space, columns, texts),
        _array(columns["reward"]),
        _array(flags & TERMINATED != 0),
        _array(flags & TRUNCATED != 0),
        *(_array(columns[channel.name]) for channel in layout.channels),
    ]
    if layout.infos:
        arrays.append(_packed(columns["info"], False))
    return arrays


def _facts() -> list[str]:
    names = (name for name in _EPISODE if name != "incomplete")
    columns = [f"({name} != 0)" if name in _FLAGS else name for name in names]
    # One that says it runs, and that nobody goes on with, was cut off.
    return [*columns, "(incomplete != 0 OR running != 0)"]


def _episode_arrays(
    run: Run, stretch: Stretch, rows: list[tuple[Any, ...]], texts: frozenset[str]
) -> list[Any]:
    import pyarrow as pa

    *told, incomplete = zip(*rows, strict=True)
    columns = dict(zip((n for n in _EPISODE if n != "incomplete"), told, strict=True))
    columns["incomplete"] = incomplete
    arrays = []
    for field in _episode_fields(run)[:-1]:
        values: Any = columns[field.name]
        if field.name == "episode_return":  # SQLite has no NaN
            values = np.array([np.nan if value is None else value for value in values], float)
        elif field.name in _FLAGS:
            values = np.array(values, bool)
        elif field.name == "tags":
            values = [(value or "").split() for value in values]
        arrays.append(pa.array(values, field.type))
    known = stretch.flags & NO_FINAL == 0
    final = _space_array(
        "final_observation", run.layout.observation_space, stretch.finals, texts, ~known
    )
    return [*arrays, final]


def _space_array(
    name: str, space: Description, columns: Mapping[str, Array], texts: frozenset[str],
    missing: Array | None = None,
) -> Any:  # fmt: skip
    import pyarrow as pa

    if missing is not None and missing.any():
        whole = _space_array(name, space, columns, texts)
        return whole.take(pa.array(np.arange(len(missing)), mask=missing))
    if space["type"] in ("Dict", "Tuple"):
        parts = _parts(space)
        fields = [_space_field(key, part) for key, part in parts]
        arrays = [_space_array(f"{name}.{key}", part, columns, texts) for key, part in parts]
        if not arrays:
            return pa.array([{}] * len(next(iter(columns.values()))), pa.struct([]))
        return pa.StructArray.from_arrays(arrays, fields=fields)
    rows = columns[name]
    return _packed(rows, name in texts) if rows.dtype == object else _array(rows)


def _array(rows: Array) -> Any:
    import pyarrow as pa

    if rows.ndim == 1:
        return pa.array(np.ascontiguousarray(rows))
    width = int(np.prod(rows.shape[1:]))
    flat = pa.array(np.ascontiguousarray(rows).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, width)


def _packed(rows: Array, text: bool) -> Any:
    import pyarrow as pa

    as_text: Any = unpack if text else unpacked_json
    return pa.array([as_text(data) if data else None for data in rows], pa.string())
