"""A metric over the episodes of a run, in as many points as a chart can show."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from recorder.candidates import vouched
from recorder.errors import ListingError
from recorder.schema import ROLLUP_LEVELS
from recorder.zones import BLOCK, SPAN, Zones

METRICS = {"episode_return": "return", "length": "length", "epsilon": "epsilon"}
POINTS_MAX = 10_000
ROWS_MAX = 20_000
ROLLED_POINTS_MAX = 4_000  # made of roll-ups: where each began has to be found on the tape too

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Curve:
    """One point for each `bucket` episodes.

    Attributes:
        metric: what was asked for.
        first: first episode: the one asked for, or where the first point's bucket begins.
        last: episode after the last, likewise.
        bucket: episodes a point stands for.
        episode: first episode of each point, `(n,)`.
        count: finished episodes in it.
        min: least value, NaN where there is none.
        mean: mean value.
        max: greatest value.
        step: global step at which each point's first episode began, `(n,)`.
        time: when that was, unix seconds, `(n,)`.
    """

    metric: str
    first: int
    last: int
    bucket: int
    episode: Array
    count: Array
    min: Array
    mean: Array
    max: Array
    step: Array
    time: Array


def read_curve(
    connection: sqlite3.Connection,
    zones: Zones,
    metric: str,
    first: int,
    last: int | None,
    points: int,
) -> Curve:
    """Return a curve. See `Run.curve`."""
    if metric not in METRICS:
        raise ListingError(f"expected a metric of {', '.join(METRICS)}, got {metric!r}")
    if not 1 <= points <= POINTS_MAX:
        raise ListingError(f"expected 1 to {POINTS_MAX} points, got {points}")
    newest = connection.execute("SELECT max(episode) FROM episodes WHERE running = 0").fetchone()[0]
    end = 0 if newest is None else newest + 1
    last = end if last is None else max(0, min(last, end))
    first = max(0, min(first, last))
    bucket = max(1, -(-(last - first) // points))
    # Never more than so many rows, if need be for fewer points.
    needed = min((n for n in ROLLUP_LEVELS if (last - first) // n <= ROWS_MAX), default=0)
    if last - first > ROWS_MAX:
        bucket = max(bucket, needed or max(ROLLUP_LEVELS))
    levels = [level for level in ROLLUP_LEVELS if level <= bucket]
    if levels:
        level = max(levels)
        # Whole roll-up buckets to a point, so the range grows to where they begin and end.
        first -= first % level
        last = min(-(-last // level) * level, end)
        bucket = -(-(last - first) // (min(points, ROLLED_POINTS_MAX) * level)) * level
        rows = _rollup_rows(connection, METRICS[metric], level, first, last)
    else:
        rows = _episode_rows(connection, metric, first, last)
    episode, count, least, mean, most = _grouped(first, bucket, rows)
    step, time = _places(connection, zones, episode)
    return Curve(metric, first, last, bucket, episode, count, least, mean, most, step, time)


def _places(connection: sqlite3.Connection, zones: Zones, episodes: Array) -> tuple[Array, Array]:
    """Where on the other x-axes these episodes began: global steps, unix seconds."""
    episodes = episodes.astype(np.int64)
    places = np.full((len(episodes), 2), np.nan)
    left = _learned(connection, zones, episodes, places)
    rows = connection.execute(
        "SELECT episode, first_step, started_at FROM json_each(?) "
        "CROSS JOIN episodes ON episode = value",
        (json.dumps(episodes[left].tolist()),),
    ).fetchall()
    read = _as_array(rows, 3)
    at = np.searchsorted(episodes, read[:, 0])
    places[at] = read[:, 1:]
    known = ~np.isnan(places[:, 0])
    if not known.all():
        # A damaged tape may lack rows: the places that are known lead from one to the next.
        x, y = (episodes[known], places[known]) if known.any() else (np.zeros(1), np.zeros((1, 2)))
        places = np.stack([np.interp(episodes, x, y[:, column]) for column in (0, 1)], axis=1)
    return places[:, 0], places[:, 1]


def _learned(connection: sqlite3.Connection, zones: Zones, episodes: Array, places: Array) -> Array:
    """Fill in the places that were learned; return where there is something left to read."""
    left = np.ones(len(episodes), dtype=bool)
    if len(episodes) < BLOCK // SPAN or (episodes % SPAN).any():
        return left
    _, believed = vouched(lambda *asked: connection.execute(*asked).fetchall())
    for number, rolled in believed.items():
        zone = zones.of(number, rolled)
        if zone is not None:
            low, high = np.searchsorted(episodes, (number * BLOCK, (number + 1) * BLOCK))
            places[low:high] = zone.starts[episodes[low:high] % BLOCK // SPAN]
            left[low:high] = False
    return left


def _episode_rows(connection: sqlite3.Connection, metric: str, first: int, last: int) -> Array:
    rows = connection.execute(
        f"SELECT episode, 1, {metric}, {metric}, {metric}, {metric} IS NOT NULL FROM episodes "
        "WHERE episode >= ? AND episode < ? AND running = 0 ORDER BY episode",
        (first, last),
    ).fetchall()
    return _as_array(rows, 6)


def _rollup_rows(
    connection: sqlite3.Connection, name: str, level: int, first: int, last: int
) -> Array:
    known = "count" if name == "length" else f"{name}_count"
    rows = connection.execute(
        f"SELECT bucket * level, count, {name}_min, {name}_max, {name}_sum, {known} FROM rollups "
        "WHERE level = ? AND bucket >= ? AND bucket < ? ORDER BY bucket",
        (level, first // level, -(-last // level)),
    ).fetchall()
    return _as_array(rows, 6)


def _as_array(rows: Sequence[Sequence[Any]], width: int) -> Array:
    """Rows of numbers as `(n, width)` float64, None as NaN."""
    try:
        # Twice as quick as to make an array of tuples.
        flat = np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * width)
    except TypeError:  # there is a None
        flat = np.array(rows, dtype=np.float64)
    return flat.reshape(len(rows), width)


def _grouped(first: int, bucket: int, rows: Array) -> list[Array]:
    """Return the arrays of a `Curve` from `episode` to `max`."""
    groups = (rows[:, 0].astype(np.int64) - first) // bucket
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    if not len(starts):
        blank = np.empty(0)
        return [blank] * 5
    known = np.add.reduceat(rows[:, 5], starts)
    with np.errstate(invalid="ignore", over="ignore"):  # infinite returns are no fault
        sums = np.add.reduceat(np.where(rows[:, 5] > 0, rows[:, 4], 0.0), starts)
    return [
        groups[starts] * bucket + first,
        np.add.reduceat(rows[:, 1], starts).astype(np.int64),
        np.fmin.reduceat(rows[:, 2], starts),
        np.divide(sums, known, out=np.full(len(starts), np.nan), where=known > 0),
        np.fmax.reduceat(rows[:, 3], starts),
    ]
