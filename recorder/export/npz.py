"""NPZ: arrays that `numpy.load(..., allow_pickle=False)` reads.

One file, its episodes one behind the other: `observation`, `action`, `reward`, each channel,
`(N, ...)`; `start`, int64 `(M + 1,)`: episode `i` is rows `start[i]:start[i + 1]`;
`final_observation`, `(M, ...)`, and `has_final`; and a row an episode of what is known of it.
Or, with `each`, a directory of `episode-000000.npz`, ...: there `observation` has T + 1 rows
where the final one is known.

Parts of Dict and Tuple spaces are arrays of their own, `observation.position`. Infos are
UTF-8 JSON: row `i` is `info_json[info_start[i]:info_start[i + 1]]`.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from recorder.bulk import Stretch, scan
from recorder.codec import NO_FINAL
from recorder.columns import Column
from recorder.export import Options, Written
from recorder.export.values import (
    Array,
    refuse_spaces,
    run_facts,
    unpacked_json,
    write_manifest,
)
from recorder.packing import unpack
from recorder.pages import pages
from recorder.selection import Selection

if TYPE_CHECKING:
    from recorder.run import Run

_FACTS: dict[str, Any] = {
    "episode": "<i8", "first_step": "<i8", "length": "<i8", "episode_return": "<f8",
    "terminated": "|b1", "truncated": "|b1", "incomplete": "|b1", "epsilon": "<f8",
    "started_at": "<f8", "duration_s": "<f8",
}  # fmt: skip
_OLDEST = (1980, 1, 1, 0, 0, 0)  # what a zip can hold: the same run gives the same bytes


def is_directory(options: Options) -> bool:
    """A directory where each episode is a file."""
    return options.each


def check(run: Run, out: Path, options: Options) -> None:
    """Arrays hold what has a fixed size, and text."""
    refuse_spaces(run, "npz", ("Sequence", "Graph", "OneOf"), "jsonl or parquet")


def write(run: Run, selection: Selection, out: Path, options: Options, result: Written) -> None:
    """See `recorder.export.Format`."""
    if options.each:
        write_manifest(out, run, "npz")
        for number, stretch in _whole(run, selection):
            with zipfile.ZipFile(out / f"episode-{number:06}.npz", "w") as archive:
                _one(archive, run, stretch)
            result.episodes += 1
            result.steps += len(stretch)
        return
    work = out.with_name(out.name + ".columns")
    work.mkdir()
    try:
        columns = _Columns(work)
        for stretch in scan(run, selection):
            _add(columns, run, stretch)
            result.steps += len(stretch)
            result.episodes += len(stretch.ends)
        _facts(columns, run, selection)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            _member(archive, "run_json", [np.frombuffer(_run_json(run), np.uint8)])
            columns.into(archive)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run_json(run: Run) -> bytes:
    return json.dumps(run_facts(run), default=str).encode()


class _Columns:
    """Columns that grow, each in a file of its own, until all is known of their size."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._files: dict[str, tuple[IO[bytes], np.dtype[Any], tuple[int, ...], list[int]]] = {}

    def add(self, name: str, rows: Array) -> None:
        if name not in self._files:
            path = self._work / str(len(self._files))
            self._files[name] = (path.open("w+b"), rows.dtype, rows.shape[1:], [0])
        file, _, _, count = self._files[name]
        file.write(np.ascontiguousarray(rows).data.cast("B") if rows.size else b"")
        count[0] += len(rows)

    def rows(self, name: str) -> int:
        """How many there are by now."""
        return self._files[name][3][0] if name in self._files else 0

    def into(self, archive: zipfile.ZipFile) -> None:
        for name, (file, dtype, shape, count) in self._files.items():
            file.flush()
            file.seek(0)
            with archive.open(_info(name), "w", force_zip64=True) as member:
                _header(member, dtype, (count[0], *shape))
                shutil.copyfileobj(file, member, 1 << 20)
            file.close()


def _add(columns: _Columns, run: Run, stretch: Stretch) -> None:
    for column in run.layout.steps:
        _add_column(columns, run, column, column.name, stretch.columns[column.name])
    for column in run.layout.finals:
        _add_column(columns, run, column, column.name, stretch.finals[column.name])
    columns.add("has_final", stretch.flags & NO_FINAL == 0)


def _add_column(columns: _Columns, run: Run, column: Column, name: str, rows: Array) -> None:
    if not column.packed:
        columns.add(name, rows)
    elif name == "info":
        texts = [unpacked_json(data).encode() for data in rows]
        if not columns.rows("info_start"):
            columns.add("info_start", np.zeros(1, np.int64))
        at = columns.rows("info_json")
        columns.add("info_json", np.frombuffer(b"".join(texts), np.uint8))
        columns.add("info_start", at + np.cumsum([len(text) for text in texts], dtype=np.int64))
    else:
        columns.add(name, _texts(run, name, rows))


def _texts(run: Run, name: str, rows: Array) -> Array:
    width = _width(run, name)
    return np.array([unpack(data) if data else "" for data in rows], f"<U{width}")


def _width(run: Run, name: str) -> int:
    head, _, path = name.removeprefix("final_").partition(".")
    space = run.layout.observation_space if head == "observation" else run.layout.action_space
    for part in filter(None, path.split(".")):
        space = space["spaces"][int(part) if space["type"] == "Tuple" else part]
    return max(1, int(space["max_length"]))


def _facts(columns: _Columns, run: Run, selection: Selection) -> None:
    names = ", ".join((*_FACTS, "seed", "stage", "tags"))
    at = 0
    columns.add("start", np.zeros(1, np.int64))
    for page in pages(run, selection, names):
        for place, (name, dtype) in enumerate(_FACTS.items()):
            values = [row[place] for row in page]
            if dtype == "<f8":
                values = [float("nan") if value is None else value for value in values]
            columns.add(name, np.array(values).astype(dtype))
        seeds = [row[-3] for row in page]
        columns.add("seed", np.array([0 if seed is None else seed for seed in seeds], np.int64))
        columns.add("has_seed", np.array([seed is not None for seed in seeds]))
        lengths = np.array([row[2] for row in page], np.int64)
        columns.add("start", at + np.cumsum(lengths))
        at += int(lengths.sum())


def _whole(run: Run, selection: Selection) -> Iterator[tuple[int, Stretch]]:
    """Each episode's steps as a stretch of their own."""
    pieces: list[tuple[Stretch, int, int]] = []
    for stretch in scan(run, selection):
        start = 0
        for index, end in enumerate(stretch.ends.tolist()):
            yield int(stretch.episode[start]), _joined([*pieces, (stretch, start, end)], index)
            pieces, start = [], end
        if start < len(stretch):
            pieces.append((stretch, start, len(stretch)))


def _joined(pieces: list[tuple[Stretch, int, int]], index: int) -> Stretch:
    last = pieces[-1][0]

    def join(get: Any) -> Array:
        return np.concatenate([get(stretch)[start:stop] for stretch, start, stop in pieces])

    columns = {name: join(lambda s, n=name: s.columns[n]) for name in last.columns}
    steps = join(lambda s: s.step)
    return Stretch(
        join(lambda s: s.episode), steps, columns, np.array([len(steps)]),
        last.flags[index : index + 1],
        {name: rows[index : index + 1] for name, rows in last.finals.items()},
    )  # fmt: skip


def _one(archive: zipfile.ZipFile, run: Run, stretch: Stretch) -> None:
    """An episode's file."""
    known = not stretch.flags[0] & NO_FINAL
    leaves = {column.name for column in run.layout.observation}
    for column in run.layout.steps:
        rows = stretch.columns[column.name]
        if column.packed and column.name == "info":
            texts = [unpacked_json(data).encode() for data in rows]
            _member(archive, "info_json", [np.frombuffer(b"".join(texts), np.uint8)])
            starts = np.cumsum([0, *map(len, texts)])
            _member(archive, "info_start", [starts.astype(np.int64)])
            continue
        parts = [rows]
        if column.name in leaves and known:
            parts.append(stretch.finals[f"final_{column.name}"])
        if column.packed:
            parts = [_texts(run, column.name, part) for part in parts]
        _member(archive, column.name, parts)
    summary = run.episode(int(stretch.episode[0]))
    for name in (*_FACTS, "seed"):
        value = getattr(summary, name)
        if value is not None:
            _member(archive, name, [np.array(value)])


def _member(archive: zipfile.ZipFile, name: str, parts: list[Array]) -> None:
    array = parts[0] if len(parts) == 1 else np.concatenate(parts)
    with archive.open(_info(name), "w", force_zip64=True) as member:
        _header(member, array.dtype, array.shape)
        member.write(np.ascontiguousarray(array).tobytes())


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(f"{name}.npy", _OLDEST)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _header(member: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": dtype.str, "fortran_order": False, "shape": shape}
    )
    member.write(head.getvalue())
