"""A tape of as many episodes as a benchmark asks for, made once and kept in a temporary place.

It is a genuine tape: the recorder's own writer assembles, encodes and commits it, roll-ups and
all, just as it would in a training; only the training itself is left out, its steps are those
of a short real one with rewards of their own.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.storage import BATCH, grid_tape, recorded_columns
from recorder import Run, open_run
from recorder.assemble import Assembler
from recorder.blank import blank_tape
from recorder.codec import TERMINATED, TRUNCATED
from recorder.schema import FILE_NAME, VERSION
from recorder.tape import Tape
from recorder.writer import Writer

MEAN_LENGTH = 8
STAGES = 10
RUN = "big"
_MADE_AS = 1  # raise where what is made changes


def kept_in() -> Path:
    """Return the directory in which benchmarks keep what takes long to make."""
    root = Path(os.environ.get("REEL_BENCHMARKS", tempfile.gettempdir())) / "reel-benchmarks"
    root.mkdir(parents=True, exist_ok=True)
    return root


def big_runs(episodes: int) -> Path:
    """Return a directory of runs that holds one, `RUN`, of so many episodes.

    Lengths 2 to 14, returns that drift upwards, a stage for each tenth, a seed and a tag for one
    episode in a thousand.
    """
    root = kept_in()
    runs_dir = root / f"{episodes}-episodes-{VERSION}.{_MADE_AS}"
    if not (runs_dir / RUN / FILE_NAME).exists():
        runs_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as name:
            (Path(name) / RUN).mkdir()
            _write(Path(name), Path(name) / RUN, episodes)
            if not (runs_dir / RUN).exists():
                shutil.move(Path(name) / RUN, runs_dir / RUN)
    return runs_dir


def big_run(episodes: int) -> Run:
    """Return that run, open."""
    return open_run(big_runs(episodes) / RUN)


def _write(scratch: Path, run_dir: Path, episodes: int) -> None:
    source = grid_tape(scratch / "source", 3000)
    layout, columns = recorded_columns(source, BATCH)
    with closing(sqlite3.connect(source / FILE_NAME)) as connection:
        connection.row_factory = sqlite3.Row
        facts = dict(connection.execute("SELECT * FROM run").fetchone())
    del facts["checksum"]
    (run_dir / FILE_NAME).write_bytes(blank_tape({**facts, "run_id": RUN, "name": RUN}))
    tape = Tape(run_dir, layout)
    writer = Writer(tape, Assembler(layout), 0.0)
    chance = np.random.default_rng(1)
    position = number = 0
    while number < episodes:
        lengths = chance.integers(2, 2 * MEAN_LENGTH - 1, BATCH // MEAN_LENGTH)
        ends = np.cumsum(lengths)
        ends = ends[ends <= BATCH][: episodes - number]
        count = int(ends[-1])
        drift = 2 * number / episodes - 1
        rows = {name: values[:count] for name, values in columns.items()}
        rows["reward"] = chance.normal(drift / MEAN_LENGTH, 1.0, count)
        marks = [
            (
                position + int(end), (0,), TRUNCATED if n % 5 == 0 else TERMINATED,
                1 - n / episodes, n if n % 1000 == 0 else None, str(n * STAGES // episodes),
                1.7e9 + n / 1000, 0.001, ("rare",) if n % 1000 == 1 else (),
            )
            for n, end in enumerate(ends, number)
        ]  # fmt: skip
        writer.add(rows, marks, position, 0.0)
        if not writer.commit():
            raise RuntimeError("the tape could not be written")
        position, number = position + count, number + len(ends)
    tape.checkpoint()
    tape.close()
