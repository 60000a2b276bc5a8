"""What a step costs on disk, and to write.

- `bytes_per_step`: size of the tape over its steps: GridWorld (medium), tabular
  Q-learning, four Q-values a step, episodes and roll-ups included.
- `write_steps_per_s`: how fast the writer alone turns steps into committed tape; beside
  it `row_per_step_ratio`, how many times faster than a row a step into SQLite.
- `flat_ratio`: cost a step (bytes; seconds) of the last tenth of a long run over the
  first: 1 is flat.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from benchmarks.measure import arguments, pairs, report
from benchmarks.recording import CHANNELS
from gridworld import QLearningAgent, train
from recorder import EpisodeRecorder, open_run
from recorder.assemble import Assembler
from recorder.blank import blank_tape
from recorder.codec import INCOMPLETE, Array
from recorder.layout import Layout
from recorder.schema import FILE_NAME
from recorder.tape import Tape
from recorder.writer import Writer

BATCH = 16384
LENGTH = 16  # steps an episode, in the writer's benchmark


def grid_tape(folder: Path, episodes: int) -> Path:
    """Record a training run and return its directory."""
    env = gymnasium.make("gridworld:GridWorld-v0", difficulty="medium", map_seed=7)
    agent = QLearningAgent(env.observation_space, env.action_space, seed=7)
    with EpisodeRecorder(folder, env=env, channels=CHANNELS) as recorder:
        train(env, agent, episodes, seed=7, recorder=recorder)
    return recorder.path


def recorded_columns(run_dir: Path, count: int) -> tuple[Layout, dict[str, Array]]:
    """Return the run's layout and its first `count` steps as columns."""
    with open_run(run_dir) as run:
        parts: list[dict[str, Any]] = []
        total = number = 0
        while total < count:
            steps = run.steps(number % run.counts().episodes)
            parts.append(dict(steps.columns))
            total += len(steps.columns["reward"])
            number += 1
        columns = {name: np.concatenate([p[name] for p in parts])[:count] for name in parts[0]}
        return run.layout, columns


class TapeWriting:
    """Writes the same batch of steps again and again, as a run that goes on."""

    def __init__(
        self,
        run_dir: Path,
        layout: Layout,
        columns: dict[str, Array],
        row: dict[str, Any] | None = None,
    ) -> None:
        run_dir.mkdir()
        self.path = run_dir / FILE_NAME
        self.path.write_bytes(blank_tape(_run_row() | (row or {})))
        tape = Tape(run_dir, layout)
        self.tape, self.columns = tape, columns
        self.writer = Writer(tape, Assembler(layout), 0.0)
        self.position = 0

    def write(self, batches: int) -> float:
        """Write batches and return the seconds they took."""
        start = time.perf_counter()
        for _ in range(batches):
            first = self.position
            ends = range(first + LENGTH, first + BATCH + 1, LENGTH)
            marks = [(end, (0,), INCOMPLETE, 0.1, None, None, 0.0, 0.0, ()) for end in ends]
            self.writer.add(dict(self.columns), marks, first, 0.0)
            self.position += BATCH
        if not self.writer.commit():
            raise RuntimeError("the tape could not be written")
        self.tape.checkpoint()
        return time.perf_counter() - start


def _run_row() -> dict[str, Any]:
    texts = ("env_kwargs", "observation_space", "action_space", "layout", "presentation")
    return {
        "run_id": "benchmark", "name": "benchmark", "created_at": 0.0, "status": "recording",
        "hyperparameters": "{}", "provenance": "{}", **dict.fromkeys(texts, "{}"),
    }  # fmt: skip


def rows_seconds(path: Path, columns: dict[str, Array]) -> float:
    """Write a batch as a row a step, in one transaction, and return the seconds."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS steps (observation, action, reward, q0, q1, q2, q3, explored)"
    )
    rows = list(
        zip(
            *(columns[name].tolist() for name in ("observation", "action", "reward")),
            *(q.tolist() for q in columns["q_values"].T),
            columns["explored"].tolist(),
            strict=True,
        )
    )
    start = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(f"INSERT INTO steps VALUES ({', '.join('?' * 8)})", rows)
    connection.execute("COMMIT")
    seconds = time.perf_counter() - start
    connection.close()
    return seconds


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    episodes, batches, count = (20_000, 61, 5) if options.quick else (200_000, 611, 9)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_dir = grid_tape(folder, episodes)
        with open_run(run_dir) as run:
            counts = run.counts()
        size = (run_dir / FILE_NAME).stat().st_size
        layout, columns = recorded_columns(run_dir, BATCH)
        writing = TapeWriting(folder / "batches", layout, columns)
        timed = pairs(
            lambda: writing.write(4) / 4, lambda: rows_seconds(folder / "rows.db", columns), count
        )
        long = TapeWriting(folder / "long", layout, columns)
        tenths = [(long.write(batches // 10), long.path.stat().st_size) for _ in range(10)]
        sizes = [after[1] - before[1] for before, after in pairwise(tenths)]
        report(
            {
                "bytes_per_step": size / counts.steps,
                "bytes_per_episode": size / counts.episodes,
                "steps_per_episode": counts.steps / counts.episodes,
                "write_steps_per_s": BATCH / sorted(timed.a)[count // 2],
                "row_per_step_ratio": 1 / timed.ratio(),
                "flat_ratio_seconds": tenths[-1][0] / tenths[0][0],
                "flat_ratio_bytes": sizes[-1] / sizes[0],
                "steps": counts.steps,
                "steps_written": long.position,
            },
            options.json,
        )


if __name__ == "__main__":
    main()
