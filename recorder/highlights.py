"""The few episodes of a run worth watching, found without reading all of it.

Best, worst and longest come from the roll-ups, a first success and changes of stage from a
pass over summaries: fractions of a second for a million episodes. The biggest surprise
needs steps, so it is looked for in a bounded number of them, spread evenly over the tape;
what was looked at is part of the answer.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from recorder import codec
from recorder.codec import Segment
from recorder.episode import EpisodeSummary
from recorder.expression import parse
from recorder.filters import to_sql
from recorder.layout import Layout
from recorder.pruning import blank_rows
from recorder.schema import ROLLUP_LEVELS
from recorder.surprise import measure_of

SCAN_STEPS = 262_144
STAGES_SHOWN = 20
_LEVEL = min(ROLLUP_LEVELS)
_DROP_PARTS = 20
_DROP_LEAST = 0.05  # of the range of all returns: what is less is chance
_BLOCK = 4096
_NO_STAGE = object()

Array = np.ndarray[Any, Any]
Rows = Callable[..., list[Any]]


@dataclass(frozen=True)
class Highlight:
    """An episode worth watching.

    Attributes:
        kind: `first_success`, `best`, `worst`, `longest`, `surprise`, `stage` or `drop`.
        episode: its number.
        step: the step of it that is meant; None: all of it.
        value: the return, the length, the TD error, or how far the mean return fell; None
            for a stage.
        text: for people.
        kept: whether its steps are on the tape.
    """

    kind: str
    episode: int
    step: int | None
    value: float | None
    text: str
    kept: bool


@dataclass(frozen=True)
class Highlights:
    """What was found, and in how much.

    Attributes:
        items: at most one of each kind, but for `stage` (20 changes at most); in the order
            above. A fall of the mean return counts from 5% of the range of all returns on.
        episodes: finished episodes whose summaries were looked at: all there were.
        steps: steps that were searched for the biggest surprise.
        of_steps: steps on the tape that could have been. Where `steps` is less, the biggest
            surprise is that of an even sample.
        note: what else has to be known: which discount was assumed, why no surprise was
            looked for; empty where there is nothing.
    """

    items: tuple[Highlight, ...]
    episodes: int
    steps: int
    of_steps: int
    note: str

    def __iter__(self) -> Iterator[Highlight]:
        return iter(self.items)

    def as_json(self) -> dict[str, Any]:
        """Return them as plain data, the form of the HTTP route and of `--json`."""
        return {
            "highlights": [dict(vars(item)) for item in self.items],
            "scanned": {
                "episodes": self.episodes, "steps": self.steps, "of_steps": self.of_steps,
                "note": self.note,
            },
        }  # fmt: skip


@dataclass(frozen=True)
class Source:
    """What highlights are found from.

    Attributes:
        connection: of `open_tape`.
        lock: held around each use of it.
        rows: runs a query and returns its rows.
        layout: the run's.
        hyperparameters: the run's.
        recording: whether a live process records the run.
        episode: gives a summary.
    """

    connection: sqlite3.Connection
    lock: threading.RLock
    rows: Rows
    layout: Layout
    hyperparameters: dict[str, Any]
    recording: bool
    episode: Callable[[int], EpisodeSummary]


def find_highlights(source: Source, scan_steps: int | None = SCAN_STEPS) -> Highlights:
    """Return the highlights of a run. See `Run.highlights`."""
    ((episodes,),) = source.rows(
        "SELECT coalesce(sum(count), 0) FROM rollups WHERE level = ?", (_LEVEL,)
    )
    items = [
        *_first_success(source),
        *_extreme(source, "best", "episode_return", "return_max", "DESC"),
        *_extreme(source, "worst", "episode_return", "return_min", "ASC"),
        *_extreme(source, "longest", "length", "length_max", "DESC"),
    ]
    surprise, steps, of_steps, note = _surprise(source, scan_steps)
    items += [*surprise, *_stages(source), *_drop(source)]
    return Highlights(tuple(items), episodes, steps, of_steps, note)


def _first_success(source: Source) -> list[Highlight]:
    clause = to_sql(parse("success and not running"), recording=source.recording)
    found = source.rows(
        f"SELECT episode FROM episodes WHERE {clause.text} ORDER BY episode LIMIT 1",
        clause.values,
    )
    return [
        _made(source, "first_success", number, None, None, "the first success")
        for (number,) in found
    ]


def _extreme(
    source: Source, kind: str, column: str, summed: str, direction: str
) -> list[Highlight]:
    bucket = source.rows(
        f"SELECT bucket FROM rollups WHERE level = ? AND {summed} IS NOT NULL "
        f"ORDER BY {summed} {direction}, bucket LIMIT 1",
        (_LEVEL,),
    )
    if not bucket:
        return []
    first = bucket[0][0] * _LEVEL
    found = source.rows(
        f"SELECT episode, {column} FROM episodes WHERE episode >= ? AND episode < ? "
        f"AND running = 0 AND {column} IS NOT NULL ORDER BY {column} {direction}, episode LIMIT 1",
        (first, first + _LEVEL),
    )
    told = {
        "best": "the best return, {:.6g}",
        "worst": "the worst return, {:.6g}",
        "longest": "the longest, {:,} steps",
    }[kind]
    return [
        _made(source, kind, number, None, float(value), told.format(value))
        for number, value in found
    ]


def _stages(source: Source) -> list[Highlight]:
    """The first episode of each new stage; the first stage of a run is no change."""
    found: list[Highlight] = []
    before: Any = _NO_STAGE
    for number, stage in _new_stages(source):
        if before is not _NO_STAGE and stage != before:
            text = f"stage {before or '-'} became {stage or '-'}"
            found.append(_made(source, "stage", number, None, None, text))
            if len(found) == STAGES_SHOWN:
                break
        before = stage
    return found


def _new_stages(source: Source) -> Iterator[tuple[int, str | None]]:
    """Episodes and their stages: of a block that has one stage only, the first."""
    ((newest,),) = source.rows("SELECT max(episode) FROM episodes")
    for first in range(0, 0 if newest is None else newest + 1, _BLOCK):
        place = (first, first + _BLOCK - 1)
        ((begin, least, greatest, told, count),) = source.rows(
            "SELECT min(episode), min(stage), max(stage), count(stage), count(*) FROM episodes "
            "WHERE episode BETWEEN ? AND ? AND running = 0",
            place,
        )
        if not count:
            continue
        if least == greatest and told in (0, count):
            yield begin, least
        else:
            yield from source.rows(
                "SELECT episode, stage FROM episodes WHERE episode BETWEEN ? AND ? "
                "AND running = 0 ORDER BY episode",
                place,
            )


def _drop(source: Source) -> list[Highlight]:
    """The sharpest fall of the mean return from one window of episodes to the next."""
    buckets = source.rows(
        "SELECT bucket * level, return_sum, return_count FROM rollups WHERE level = ? "
        "ORDER BY bucket",
        (_LEVEL,),
    )
    if len(buckets) >= 2 * _DROP_PARTS:
        table = np.array(buckets, dtype=np.float64)
    else:
        table = np.array(
            source.rows(
                "SELECT episode, coalesce(episode_return, 0), episode_return IS NOT NULL "
                "FROM episodes WHERE running = 0 ORDER BY episode"
            ),
            dtype=np.float64,
        ).reshape(-1, 3)
    width = max(1, len(table) // _DROP_PARTS)
    if len(table) < 2 * width or len(table) < 4:
        return []
    with np.errstate(invalid="ignore", over="ignore"):  # infinite returns are no fault
        sums = np.convolve(table[:, 1], np.ones(width), "valid")
        counts = np.convolve(table[:, 2], np.ones(width), "valid")
        means = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
        falls = means[width:] - means[:-width]
    falls[~np.isfinite(falls)] = 0.0
    place = int(np.argmin(falls))
    ((least, greatest),) = source.rows(
        "SELECT min(return_min), max(return_max) FROM rollups WHERE level = ?", (_LEVEL,)
    )
    if not falls[place] < -_DROP_LEAST * (greatest - least):
        return []
    first = int(table[place + width, 0])
    last = place + 2 * width
    stop = int(table[last, 0]) if last < len(table) else 1 << 62
    found = source.rows(
        "SELECT episode FROM episodes WHERE episode >= ? AND episode < ? AND running = 0 "
        "AND episode_return IS NOT NULL ORDER BY episode_return, episode LIMIT 1",
        (first, stop),
    )
    text = (
        f"the mean return fell from {means[place]:.6g} to {means[place + width]:.6g} "
        f"at episode {first:,}; this is the worst after it"
    )
    return [_made(source, "drop", number, None, float(falls[place]), text) for (number,) in found]


def _surprise(source: Source, scan_steps: int | None) -> tuple[list[Highlight], int, int, str]:
    """The greatest absolute TD error, how many steps were searched, of how many, and a note."""
    ((of_steps,),) = source.rows("SELECT coalesce(sum(count), 0) FROM segments")
    measure, note = measure_of(source.layout, source.hyperparameters)
    if measure is None:
        return [], 0, of_steps, note
    best: tuple[float, int, float] | None = None
    searched = 0
    for segment in _sampled(source, scan_steps):
        errors = measure(segment)
        for start, stop in blank_rows(segment):
            errors[start:stop] = np.nan
        searched += segment.count
        if np.isnan(errors).all():
            continue
        row = int(np.nanargmax(np.abs(errors)))
        size = abs(float(errors[row]))
        if best is None or size > best[0]:
            best = (size, segment.first_step + row, float(errors[row]))
    if best is None:
        return [], searched, of_steps, note
    found = source.rows(
        "SELECT episode, first_step FROM episodes WHERE first_step <= ? "
        "ORDER BY episode DESC LIMIT 1",
        (best[1],),
    )
    return (
        [
            _made(
                source, "surprise", number, best[1] - first, best[2],
                f"the biggest surprise: a TD error of {best[2]:.6g} at step {best[1] - first:,}",
            )
            for number, first in found
        ],
        searched,
        of_steps,
        note,
    )  # fmt: skip


def _sampled(source: Source, scan_steps: int | None) -> Iterator[Segment]:
    """Segments of at most so many steps together, spread evenly; at least one."""
    known = source.rows("SELECT first_step, count FROM segments ORDER BY first_step")
    total = sum(count for _, count in known)
    if scan_steps is not None and total > scan_steps and known:
        wanted = max(1, int(len(known) * scan_steps / total))
        places = np.linspace(0, len(known) - 1, wanted).round().astype(int)
        known = [known[place] for place in dict.fromkeys(places.tolist())]
    for first, _ in known:
        with source.lock:
            row = source.connection.execute(
                "SELECT first_step, count, return_before, codec, checksum, blob FROM segments "
                "WHERE first_step = ?",
                (first,),
            ).fetchone()
        if row is not None:  # the last one of a run that records may have become another
            yield codec.open_row(source.layout, *row)


def _made(
    source: Source, kind: str, number: int, step: int | None, value: float | None, text: str
) -> Highlight:
    return Highlight(kind, number, step, value, text, source.episode(number).kept)
