"""What reading much of a tape costs.

- `load_vs_minari`: how many times faster 1,000 random episodes are loaded than Minari loads
  the same ones, from HDF5 or from Arrow, whichever is faster (left out where Minari is not
  installed). Minari's have no Q-values, Reel's have.
- `scan_steps_per_s`: a full scan of 10 million steps into numpy, all columns, episodes of 16
  steps.
- `parquet_steps_per_s`: the same steps into Parquet (with `--quick` the first 3 million).
- `*_grown_mb`: by how much the process's memory was larger at the end of it than after the
  first tenth: 0 is flat.
"""

from __future__ import annotations

import importlib.util
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import arguments, pairs, report
from benchmarks.storage import BATCH, TapeWriting, grid_tape, recorded_columns
from recorder import open_run
from recorder.bulk import load_episodes
from recorder.export import export_run
from recorder.facts import as_json
from recorder.layout import Layout
from recorder.selection import Selection

STEPS = 10_000_000
LOADED = 1000
_TOGETHER = 32  # batches in a commit
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def memory_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * _PAGE_BYTES / 1e6


def long_tape(run_dir: Path, layout: Layout, columns: dict[str, Any]) -> None:
    """Write a run of `STEPS` steps."""
    row = {
        "observation_space": as_json(layout.observation_space),
        "action_space": as_json(layout.action_space),
        "layout": as_json(layout.as_json()),
    }
    writing = TapeWriting(run_dir, layout, columns, row)
    for _ in range(-(-STEPS // (BATCH * _TOGETHER))):
        writing.write(_TOGETHER)
    writing.tape.close()


def scanned(run_dir: Path) -> tuple[float, float, int]:
    """Scan all; return seconds, megabytes grown, and steps."""
    total, first = 0, 0.0
    begun = time.perf_counter()
    with open_run(run_dir) as run:
        for stretch in run.batches(read_ahead=True):
            total += len(stretch)
            if not first and total >= STEPS // 10:
                first = memory_mb()
    return time.perf_counter() - begun, memory_mb() - first, total


def to_parquet(run_dir: Path, out: Path, last: int) -> tuple[float, float, int]:
    """Export episodes up to `last`; return seconds, megabytes grown, and steps."""
    with open_run(run_dir) as run:
        export_run(run, "parquet", out.with_name("first"), selection=Selection(((0, last // 10),)))
        first = memory_mb()
        begun = time.perf_counter()
        written = export_run(run, "parquet", out, selection=Selection(((0, last),)))
        return time.perf_counter() - begun, memory_mb() - first, written.steps


def minari_loaders(run_dir: Path, folder: Path) -> dict[str, Callable[[list[int]], int]]:
    """Write a run's episodes as Minari datasets; return what loads some of them."""
    from minari import MinariDataset
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    from recorder.describe import space_of

    loaders: dict[str, Callable[[list[int]], int]] = {}
    with open_run(run_dir) as run:
        spaces = [space_of(s) for s in (run.layout.observation_space, run.layout.action_space)]
        for form in ("hdf5", "arrow"):
            storage = MinariStorage.new(
                folder / form, spaces[0], spaces[1], data_format=form, jpeg_encoding=False
            )
            # After each episode it would add up the sizes of all files there are by then.
            storage.get_size = lambda: 0.0
            storage.update_metadata({"dataset_id": f"{form}-v0", "minari_version": "0.5.0"})
            storage.update_episodes(
                EpisodeBuffer(
                    observations=episode.observations,
                    actions=episode.actions,
                    rewards=episode.rewards,
                    terminations=np.arange(episode.length) == episode.length - 1,
                    truncations=np.zeros(episode.length, bool),
                )
                for episode in load_episodes(run)
            )
            dataset = MinariDataset(folder / form)

            def load(numbers: list[int], dataset: Any = dataset) -> int:
                return sum(len(episode) for episode in dataset.iterate_episodes(numbers))

            loaders[form] = load
    return loaders


def against_minari(run_dir: Path, folder: Path, episodes: int, count: int) -> dict[str, float]:
    """Load the same random episodes in turn; return how many times faster Reel is."""
    draw = random.Random(7)
    lengths: list[int] = []

    def timed(load: Callable[[list[int]], int]) -> Callable[[], float]:
        def run_once() -> float:
            numbers = draw.sample(range(episodes), LOADED)
            begun = time.perf_counter()
            lengths.append(load(numbers))
            return time.perf_counter() - begun

        return run_once

    def ours(numbers: list[int]) -> int:
        with open_run(run_dir) as run:
            return sum(episode.length for episode in load_episodes(run, Selection.of(numbers)))

    figures = {}
    for form, load in minari_loaders(run_dir, folder).items():
        found = pairs(timed(load), timed(ours), count)
        figures[f"load_vs_minari_{form}"] = found.ratio()
    if min(lengths) < LOADED:
        raise RuntimeError("some episodes were not loaded")
    return {"load_vs_minari": min(figures.values()), **figures}


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    episodes, count = (1_500, 3) if options.quick else (10_000, 7)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_dir = grid_tape(folder / "grid", episodes)
        layout, columns = recorded_columns(run_dir, BATCH)
        if all(map(importlib.util.find_spec, ("minari", "h5py", "pyarrow"))):
            figures |= against_minari(run_dir, folder, episodes, count)
        long_tape(folder / "long", layout, columns)
        scanned(folder / "long")  # once for the system's cache
        scans = [scanned(folder / "long") for _ in range(count)]
        figures["scan_steps_per_s"] = sorted(s[2] / s[0] for s in scans)[count // 2]
        figures["scan_grown_mb"] = max(s[1] for s in scans)
        figures["scan_steps"] = scans[0][2]
        if importlib.util.find_spec("pyarrow"):
            last = STEPS // 16 * 3 // 10 if options.quick else STEPS // 16
            seconds, grown, steps = to_parquet(folder / "long", folder / "parquet", last)
            figures["parquet_steps_per_s"] = steps / seconds
            figures["parquet_grown_mb"] = grown
            figures["parquet_steps"] = steps
        report(figures, options.json)


if __name__ == "__main__":
    main()
