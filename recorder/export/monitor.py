"""CSV: a line an episode, as Stable-Baselines3's Monitor writes them.

`stable_baselines3.common.results_plotter.load_results(directory)` reads it where its name
ends in `monitor.csv`. Behind Monitor's own columns (`r`, `l`, `t`) stand Reel's. No steps are
read, so episodes whose steps were not kept are in it too.
"""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recorder.cells import cell
from recorder.export import Options, Written
from recorder.listing import summary_of
from recorder.selection import Selection
from recorder.tape import EPISODE_COLUMNS

if TYPE_CHECKING:
    from recorder.run import Run

MORE = (
    "episode", "terminated", "truncated", "incomplete", "epsilon", "seed", "stage",
    "started_at", "duration_s", "kept", "tags",
)  # fmt: skip
_PAGE = 4096


def is_directory(options: Options) -> bool:
    """A file."""
    return False


def check(run: Run, out: Path, options: Options) -> None:
    """Every run has episodes that fit."""


def write(run: Run, selection: Selection, out: Path, options: Options, result: Written) -> None:
    """See `recorder.export.Format`."""
    info = run.info
    with out.open("w", newline="", encoding="utf-8") as file:
        head = {"t_start": info.created_at, "env_id": info.env_id, "reel_run": info.run_id}
        file.write(f"#{json.dumps(head)}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("r", "l", "t", *MORE))
        for where, values in selection.clauses(run.is_recording()):
            after = values[0]
            while page := run._rows(
                f"SELECT {', '.join(EPISODE_COLUMNS)} FROM episodes WHERE "
                f"({where}) AND running = 0 ORDER BY episode LIMIT {_PAGE}",
                (after, *values[1:]),
            ):
                for row in page:
                    writer.writerow(_line(row, info.created_at))
                    result.episodes += 1
                    result.steps += row[2]
                after = page[-1][0]
    if not result.path.name.endswith("monitor.csv"):
        result.note = "name it so that it ends in monitor.csv, and load_results finds it"


def _line(row: tuple[Any, ...], began: float) -> list[Any]:
    episode = summary_of(row)
    ended = episode.started_at + episode.duration_s - began
    result: Any = episode.episode_return
    more = []
    for name in MORE:
        value = getattr(episode, name)
        if isinstance(value, bool):
            value = int(value)
        elif name == "tags":
            value = " ".join(value)
        if isinstance(value, str):
            value = cell(value)
        more.append("" if value is None else value)
    return ["nan" if math.isnan(result) else result, episode.length, ended, *more]
