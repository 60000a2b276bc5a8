"""What others add to a bare loop, measured beside Reel in the same run.

Those that wrap an environment are measured on one that does next to nothing; those that
take records, on `benchmarks.loops.bare_loop`. A peer that is not installed is left out.
"""

from __future__ import annotations

import importlib.util
import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.spaces import Discrete
from gymnasium.wrappers import RecordEpisodeStatistics

from benchmarks.loops import GOAL, LIMIT, SIZE, bare_loop
from benchmarks.measure import pairs


class BareGrid(gymnasium.Env[Any, Any]):
    """The bare loop's grid as an environment, with nothing around it."""

    observation_space = Discrete(SIZE * SIZE)
    action_space = Discrete(4)
    spec = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        """Begin at the corner."""
        self._state, self._length = 0, 0
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Move."""
        y, x = divmod(self._state, SIZE)
        if action == 0:
            y = max(0, y - 1)
        elif action == 1:
            x = min(SIZE - 1, x + 1)
        elif action == 2:
            y = min(SIZE - 1, y + 1)
        else:
            x = max(0, x - 1)
        self._state = y * SIZE + x
        self._length += 1
        ended = self._state == GOAL
        return self._state, 1.0 if ended else -0.01, ended, self._length >= LIMIT and not ended, {}


def _played(env: gymnasium.Env[Any, Any], episodes: int) -> float:
    """Act at random, the same way each time, and return the seconds."""
    rnd = random.Random(0).random
    start = time.perf_counter()
    for _ in range(episodes):
        env.reset()
        ended = False
        while not ended:
            _, _, terminated, truncated, _ = env.step(int(rnd() * 4))
            ended = terminated or truncated
    env.close()
    return time.perf_counter() - start


def _steps_played(episodes: int) -> int:
    counted = RecordEpisodeStatistics(BareGrid(), buffer_length=episodes)
    _played(counted, episodes)
    return int(sum(counted.length_queue))


def _wrapper(wrap: Callable[[gymnasium.Env[Any, Any]], Any], episodes: int, count: int) -> float:
    timed = pairs(
        lambda: _played(BareGrid(), episodes), lambda: _played(wrap(BareGrid()), episodes), count
    )
    return timed.difference() / _steps_played(episodes) * 1e6


def _recorder(
    start: Callable[[Path], tuple[Callable[..., Any], Callable[..., Any], Callable[[], Any]]],
    episodes: int,
    count: int,
) -> float:
    def bare() -> float:
        begun = time.perf_counter()
        bare_loop(episodes)
        return time.perf_counter() - begun

    def recorded() -> float:
        with tempfile.TemporaryDirectory() as folder:
            record, finish, close = start(Path(folder))
            begun = time.perf_counter()
            bare_loop(episodes, record, finish)
            close()
            return time.perf_counter() - begun

    return pairs(bare, recorded, count).difference() / bare_loop(episodes) * 1e6


def _sqlite_rows(folder: Path) -> tuple[Callable[..., Any], Callable[..., Any], Callable[[], Any]]:
    """A row a step into SQLite, a transaction an episode batch of 4,096 steps."""
    connection = sqlite3.connect(folder / "steps.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE steps (o, a, r, x, q0, q1, q2, q3)")
    rows: list[tuple[Any, ...]] = []

    def flush() -> None:
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO steps VALUES (?,?,?,?,?,?,?,?)", rows)
        connection.execute("COMMIT")
        rows.clear()

    def record(o: int, a: int, r: float, *, q_values: list[float], explored: bool) -> None:
        rows.append((o, a, r, explored, *q_values))

    def finish(*_: Any, **__: Any) -> None:
        if len(rows) >= 4096:
            flush()

    def close() -> None:
        flush()
        connection.close()

    return record, finish, close


def _mcap(folder: Path) -> tuple[Callable[..., Any], Callable[..., Any], Callable[[], Any]]:
    """A message a step into MCAP, as JSON."""
    from mcap.writer import Writer

    stream = (folder / "steps.mcap").open("wb")
    writer: Any = Writer(stream)
    writer.start()
    schema = writer.register_schema("step", "jsonschema", b'{"type": "object"}')
    channel = writer.register_channel("steps", "json", schema)
    at = 0

    def record(o: int, a: int, r: float, *, q_values: list[float], explored: bool) -> None:
        nonlocal at
        at += 1
        writer.add_message(channel, at, json.dumps([o, a, r, explored, q_values]).encode(), at)

    def close() -> None:
        writer.finish()
        stream.close()

    return record, lambda *_, **__: None, close


def _minari(env: gymnasium.Env[Any, Any]) -> Any:
    from minari import DataCollector

    return DataCollector(env)


def added_us_per_step(quick: bool) -> dict[str, float]:
    """Return what each installed peer adds, microseconds a step."""
    count, episodes = (3, 40) if quick else (5, 400)
    played = 10 * episodes
    added = {
        "RecordEpisodeStatistics": _wrapper(RecordEpisodeStatistics, played, count),
        "sqlite_row_per_step": _recorder(_sqlite_rows, 40 * episodes, count),
    }
    if importlib.util.find_spec("mcap"):
        added["mcap_json"] = _recorder(_mcap, 5 * episodes, count)
    if all(map(importlib.util.find_spec, ("minari", "jax", "h5py", "PIL"))):
        added["minari_data_collector"] = _wrapper(_minari, episodes // 8, count)
    return added
