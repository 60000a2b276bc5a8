"""An episode as a file that a person takes away: JSON, CSV or NPZ.

Pure: a summary and its steps in, bytes out. NPZ is written here and never read: it is a
zip of arrays, and none of them is pickled.
"""

from __future__ import annotations

import csv
import io
import itertools
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from recorder import EpisodeSummary, Steps
from recorder.cells import cell
from replay_server.encoding import column, dumps, plain
from replay_server.messages import Data, episode_row, final_observation

Format = Literal["json", "csv", "npz"]
FORMATS: Final[dict[str, str]] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "npz": "application/zip",
}
MAX_BYTES: Final = 256 << 20  # of the columns in memory; more is what `reel export` is for

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Download:
    """A file: its bytes, what kind they are, and what to call it."""

    body: bytes
    media_type: str
    name: str


def download(form: Format, run_id: str, summary: EpisodeSummary, steps: Steps) -> Download:
    """The steps of an episode as a file.

    Args:
        form: which kind of file.
        run_id: of the run, for the file's name.
        summary: of the episode.
        steps: the rows; where they reach the end, the file has the final observation too.
    """
    write = {"json": _json, "csv": _csv, "npz": _npz}[form]
    name = f"{run_id}-episode-{summary.episode}.{form}"
    return Download(write(run_id, summary, steps), FORMATS[form], name)


def bytes_of(steps: Steps) -> int:
    """Bytes that the columns take in memory; of values that are no numbers, at a guess."""
    return sum(
        values.nbytes * (8 if values.dtype.hasobject else 1) for values in steps.columns.values()
    )


def _json(run_id: str, summary: EpisodeSummary, steps: Steps) -> bytes:
    columns = {name: column(values, binary=False) for name, values in steps.columns.items()}
    document: Data = {
        "run": run_id,
        **episode_row(summary),
        "from": steps.start,
        "count": steps.stop - steps.start,
        "columns": columns,
        "final_observation": final_observation(steps),
    }
    return dumps(document).encode()


def _csv(_: str, summary: EpisodeSummary, steps: Steps) -> bytes:
    """A line for each step, a column for each number; the last line is the final observation."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    flat = [(name, values, *_parts(name, values)) for name, values in steps.columns.items()]
    writer.writerow(["step", *itertools.chain.from_iterable(names for *_, names in flat)])
    for row in range(steps.stop - steps.start):
        cells = (_cells(values[row], width) for _, values, width, _ in flat)
        writer.writerow([steps.start + row, *itertools.chain.from_iterable(cells)])
    if steps.final_observation is not None:
        width, names = next(
            (width, names) for name, _, width, names in flat if name == "observation"
        )
        last = _cells(steps.final_observation, width)
        blank = [""] * (sum(len(names) for *_, names in flat) - len(names))
        writer.writerow([summary.length, *last, *blank])
    return text.getvalue().encode()


def _parts(name: str, values: Array) -> tuple[int | None, list[str]]:
    """How many columns of CSV a column is (None: one, of JSON text), and their names."""
    if values.dtype.hasobject:
        return None, [name]
    width = int(np.prod(values.shape[1:], dtype=np.int64))
    return width, [name] if values.ndim == 1 else [f"{name}_{part}" for part in range(width)]


def _cells(value: Any, width: int | None) -> Iterator[Any]:
    if width is None:
        simple = plain(value)
        yield cell(simple) if isinstance(simple, str) else dumps(simple)
        return
    for number in np.asarray(value).ravel().tolist():
        yield repr(number) if isinstance(number, float) else number


def _npz(run_id: str, summary: EpisodeSummary, steps: Steps) -> bytes:
    """One array for each column; values that are no numbers as JSON text."""
    arrays: dict[str, Array] = {name: _array(values) for name, values in steps.columns.items()}
    if steps.final_observation is not None:
        observations = arrays["observation"]
        last = _last(steps)
        arrays["observation"] = np.concatenate([observations, last])
    facts: Mapping[str, Any] = {"run": run_id, **episode_row(summary)}
    arrays["episode_facts"] = np.array(dumps(facts))
    file = io.BytesIO()
    # As numpy.savez_compressed does it, for which a channel may not be called "file".
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, values, allow_pickle=False)
    return file.getvalue()


def _last(steps: Steps) -> Array:
    """The final observation as an array of one row."""
    dtype = steps.columns["observation"].dtype
    row = np.empty(1, dtype=object)
    row[0] = steps.final_observation
    if dtype.hasobject:
        return _array(row)
    return np.asarray([steps.final_observation], dtype=dtype)


def _array(values: Array) -> Array:
    if not values.dtype.hasobject:
        return values
    return np.array([dumps(plain(value)) for value in values], dtype=np.str_)
