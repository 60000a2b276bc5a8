"""What was marked on a run's timeline, read. See `Run.events`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from recorder.tape import Event

Rows = Callable[..., list[Any]]


def read_events(
    rows: Rows, first: int, last: int | None, skip: int, limit: int | None
) -> list[Event]:
    """Return the events of episodes `[first, last)`, oldest first. See `Run.events`."""
    found = rows(
        "SELECT at, episode, global_step, kind, text, data FROM events "
        "WHERE episode >= ? AND episode < ? ORDER BY id LIMIT ? OFFSET ?",
        (*_stretch(first, last), -1 if limit is None else limit, skip),
    )
    return [
        Event(at, episode, step, kind, text, json.loads(data))
        for at, episode, step, kind, text, data in found
    ]


def count_events(rows: Rows, first: int, last: int | None) -> int:
    """Return how many events there are in these episodes."""
    asked = "SELECT count(*) FROM events WHERE episode >= ? AND episode < ?"
    return int(rows(asked, _stretch(first, last))[0][0])


def _stretch(first: int, last: int | None) -> tuple[int, int]:
    """Episodes `[first, last)` as SQLite's integers."""
    most = (1 << 63) - 1
    return min(max(0, first), most), most if last is None else min(max(0, last), most)
