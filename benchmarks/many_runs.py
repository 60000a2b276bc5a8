"""A directory of as many runs as a benchmark asks for, made once and kept in a temporary place.

Each is a genuine run of a few episodes: one is recorded, the others are copies of it that began a
minute after each other, under names of their own.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import gymnasium as gym

from benchmarks.big_tape import kept_in
from recorder import EpisodeRecorder
from recorder.schema import FILE_NAME, RUN_COLUMNS, VERSION, row_checksum

EPISODES = 5
STEPS = 20
FIRST_BEGAN = 1.7e9
APART_S = 60.0
_MADE_AS = 1  # raise where what is made changes


def many_runs(count: int) -> Path:
    """Return a directory of so many runs, `run-0` the oldest."""
    runs_dir = kept_in() / f"{count}-runs-{VERSION}.{_MADE_AS}"
    if not runs_dir.exists():
        with tempfile.TemporaryDirectory(dir=runs_dir.parent) as name:
            made = Path(name) / "runs"
            _record(made)
            for number in range(count):
                _copy(made / "one", made / f"run-{number}", FIRST_BEGAN + APART_S * number)
            shutil.rmtree(made / "one")
            made.rename(runs_dir)
    return runs_dir


def _record(runs_dir: Path) -> None:
    with EpisodeRecorder(
        runs_dir, run_id="one", name="one", env_id="Many-v0",
        observation_space=gym.spaces.Discrete(100), action_space=gym.spaces.Discrete(4),
    ) as recorder:  # fmt: skip
        for _ in range(EPISODES):
            for step in range(STEPS):
                recorder.record_step(step, step % 4, -1.0)
            recorder.finish_episode(STEPS, terminated=True)


def _copy(source: Path, run_dir: Path, began: float) -> None:
    shutil.copytree(source, run_dir)
    with closing(sqlite3.connect(run_dir / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        columns = ", ".join(RUN_COLUMNS)
        (row,) = connection.execute(f"SELECT {columns} FROM run").fetchall()
        own = {"run_id": run_dir.name, "name": f"try {run_dir.name}", "created_at": began}
        facts = {**dict(zip(RUN_COLUMNS, row, strict=True)), **own, "ended_at": began + APART_S}
        connection.execute(
            "UPDATE run SET run_id = ?, name = ?, created_at = ?, ended_at = ?, checksum = ?",
            (*own.values(), facts["ended_at"], row_checksum(list(facts.values()))),
        )
    os.utime(run_dir / FILE_NAME, (began + APART_S, began + APART_S))
