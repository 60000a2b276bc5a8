"""Minari: a dataset in its HDF5 form, which `minari.load_dataset` reads.

The output is the dataset's own directory, so its name is the dataset's id (`cartpole-v0`), and
the directory around it is what `MINARI_DATASETS_PATH` names.

Per episode of T steps: T + 1 observations, T actions and rewards. Infos have T + 1 rows, as
Minari's own collector writes them: row 0 is that of the reset, which a tape does not have,
row t + 1 what step t returned. Numbers and arrays that every step has stand as they are, with
zeros (NaN) in row 0; anything else as JSON text, empty where a step has none. Channels stand
there too, under `reel/`, row t with observation t; row T is blank.

An episode whose final observation is not known cannot be told in this form and is left out.

The dataset is written by a process of its own (`recorder.export.minari_writer`): where the disk
is full, HDF5's library takes the process that it runs in along.
"""

from __future__ import annotations

import pickle
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from recorder.errors import ExportError
from recorder.export import Options, Written
from recorder.export.values import need, refuse_spaces
from recorder.processes import command_of
from recorder.selection import Selection

if TYPE_CHECKING:
    from recorder.run import Run

_ID = re.compile(r"[-_\w][-_\w.]*-v\d+")


def is_directory(options: Options) -> bool:
    """A dataset's directory."""
    return True


def check(run: Run, out: Path, options: Options) -> None:
    """See `recorder.export.Format`."""
    need("minari", "minari")
    need("h5py", "minari")
    refuse_spaces(run, "minari", ("Sequence", "Graph", "OneOf"), "jsonl or parquet")
    for column in (*run.layout.observation, *run.layout.action):
        if "/" in column.name:
            raise ExportError(
                f"expected names without a slash in spaces that minari can hold, got "
                f"{column.name!r}; export it as parquet"
            )
        if not column.packed and not column.width:
            raise ExportError(
                f"expected spaces that minari can hold, got shape {column.shape} at "
                f"{column.name!r}; export it as npz or jsonl"
            )
    if not _ID.fullmatch(out.name):
        raise ExportError(
            f"expected a Minari dataset's id as the output's name, such as "
            f"{re.sub('-v[0-9]+$', '', run.run_id)}-v0, got {out.name!r}; choose such a name"
        )


def write(run: Run, selection: Selection, out: Path, options: Options, result: Written) -> None:
    """See `recorder.export.Format`."""
    job = (run.path.resolve(), selection, out.resolve(), result.path.name)
    process = subprocess.Popen(
        command_of("recorder.export.minari_writer"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        told, _ = process.communicate(pickle.dumps(job))
    finally:  # Ctrl-C too: nothing is written once this has returned
        process.kill()
        process.wait()
    if not told:
        raise ExportError(
            f"expected the process that writes the dataset to finish, got its end (exit code "
            f"{process.returncode}); look whether the disk has room, or export it as parquet"
        )
    outcome = pickle.loads(told)
    if isinstance(outcome, Exception):
        raise outcome
    result.episodes, result.steps = outcome.episodes, outcome.steps
    for reason, count in outcome.left_out.items():
        result.leave_out(reason, count)
    result.note = (
        f"load it with MINARI_DATASETS_PATH={result.path.resolve().parent} and "
        f"minari.load_dataset({result.path.name!r})"
    )
