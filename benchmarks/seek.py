"""What a seek costs on a tape of a million episodes (`--quick`: a hundred thousand).

- `p50_ms`, `p99_ms`: from a seek to a random position of a random episode until the frames that
  show it (the episode, up to 256 steps of context) stand ready, on the server's side.
- `floor_p99_ms`: one bare look-up in the same file by SQLite's own index, in the same turns.
- `p99_ratio`: the one over the other.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from contextlib import closing

from benchmarks.big_tape import RUN, big_runs
from benchmarks.measure import arguments, report
from recorder.schema import FILE_NAME
from replay_server.archive import Archive
from replay_server.clock import LoopClock
from replay_server.playback import Playback


async def seeks(archive: Archive, playback: Playback, place: tuple[int, float]) -> float:
    """Seek as `Steering` does, and return the seconds until its frames are ready."""
    episode, part = place
    start = time.perf_counter()
    newest = await archive.newest(RUN)
    assert newest is not None
    summary = await archive.episode(RUN, min(episode, newest.episode))
    await playback.place(summary, int(part * summary.length))
    playback.show()
    return time.perf_counter() - start


async def measure(episodes: int, count: int) -> dict[str, float]:
    """Return the figures, milliseconds."""
    runs_dir = big_runs(episodes)
    archive = Archive(runs_dir)
    frames: list[bytes] = []
    playback = Playback(
        archive, LoopClock(), lambda frame: frames.append(frame.wire(1)), binary=True
    )
    chance = random.Random(1)
    places = [(chance.randrange(episodes), chance.random()) for _ in range(count)]
    playback.open(RUN, {}, 1.0, False)
    sought, floor = [], []
    uri = f"file:{runs_dir / RUN / FILE_NAME}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        for place in places:
            frames.clear()
            sought.append(await seeks(archive, playback, place))
            assert frames
            start = time.perf_counter()
            connection.execute("SELECT * FROM episodes WHERE episode = ?", place[:1]).fetchone()
            floor.append(time.perf_counter() - start)
    await archive.close()
    return {
        "p50_ms": _at(sought, 0.5),
        "p99_ms": _at(sought, 0.99),
        "max_ms": max(sought) * 1e3,
        "floor_p50_ms": _at(floor, 0.5),
        "floor_p99_ms": _at(floor, 0.99),
        "p99_ratio": _at(sought, 0.99) / _at(floor, 0.99),
        "p50_ratio": _at(sought, 0.5) / _at(floor, 0.5),
    }


def _at(seconds: list[float], part: float) -> float:
    return sorted(seconds)[int(part * len(seconds))] * 1e3


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    episodes, count = (100_000, 500) if options.quick else (1_000_000, 3000)
    figures = asyncio.run(measure(episodes, count))
    report({**figures, "episodes": episodes, "seeks": count}, options.json)


if __name__ == "__main__":
    main()
