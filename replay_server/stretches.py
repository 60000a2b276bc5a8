"""Stretches of steps in memory: cutting, measuring, and a bounded cache of them.

A *stretch* is rows `[k * size, (k + 1) * size)` of one episode, so that any position is
found by one division. Pure: what is read from the tape is handed in.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from recorder import Episode, EpisodeSummary, RecorderError, Run, Steps

STRETCH_ROWS: Final = 1024  # rows read at once, fewer where rows are large
STRETCH_BYTES: Final = 512 * 1024
AHEAD_EPISODES: Final = 64
AHEAD_ROWS: Final = 2048

Array = np.ndarray[Any, Any]


def fitting_rows(columns: Mapping[str, Array]) -> int:
    """How many rows of this size make a stretch: a power of two, at most `STRETCH_ROWS`."""
    rows = max((len(values) for values in columns.values()), default=0)
    row_bytes = column_bytes(columns) // max(1, rows)
    fitting = max(1, min(STRETCH_ROWS, STRETCH_BYTES // max(1, row_bytes)))
    return 1 << (fitting.bit_length() - 1)


def column_bytes(columns: Mapping[str, Array]) -> int:
    """Bytes that columns hold; objects count as 256 each."""
    return sum(
        values.size * 256 if values.dtype == object else values.nbytes
        for values in columns.values()
    )


def extent(summary: EpisodeSummary) -> tuple[int | None, int]:
    """Length and last position of an episode, as a playhead takes them."""
    if summary.running:
        return None, summary.length - 1
    return summary.length, summary.length


def cut(parts: Sequence[Steps], start: int, stop: int) -> Steps:
    """Rows `[start, stop)` out of adjoining stretches that cover them."""
    first, last = parts[0], parts[-1]
    reward = first.columns.get("reward")
    before = first.return_before
    if reward is not None and start > first.start:
        before += float(np.sum(reward[: start - first.start], dtype=np.float64))
    columns = {}
    for name in first.columns:
        pieces = [part.columns[name] for part in parts]
        values = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        columns[name] = values[start - first.start : stop - first.start]
    final = last.final_observation if stop == last.stop else None
    return Steps(first.episode, start, stop, columns, final, before)


def short_episodes(run: Run, first: int, size: int) -> list[tuple[EpisodeSummary, Steps]]:
    """Whole episodes from `first` on that fit a stretch of `size`; stops at the first
    that does not, still runs, or cannot be read (whoever needs that one asks for it)."""
    found: list[tuple[EpisodeSummary, Steps]] = []
    rows = 0
    for number in range(first, first + AHEAD_EPISODES):
        try:
            summary = run.episode(number)
            if summary.running or not summary.kept or summary.length > size:
                break
            steps = run.steps(number)
        except RecorderError:
            break
        found.append((summary, steps))
        rows += summary.length
        if rows >= AHEAD_ROWS:
            break
    return found


def from_memory(episode: Episode) -> tuple[EpisodeSummary, Steps]:
    """A finished episode that never left this process, as the tape will give it."""
    number, length = episode.episode, episode.length
    if number is None:
        raise ValueError("expected an episode that a recorder has numbered, got one without")
    observations = _array(episode.observations)
    columns = {
        "observation": observations[:length],
        "action": _array(episode.actions),
        "reward": np.asarray(episode.rewards, dtype=np.float64),
        **{name: _array(values) for name, values in episode.channels.items()},
    }
    summary = EpisodeSummary(
        episode=number,
        first_step=episode.first_step or 0,
        length=length,
        episode_return=episode.episode_return,
        terminated=episode.terminated,
        truncated=episode.truncated,
        incomplete=episode.incomplete,
        running=False,
        epsilon=episode.epsilon,
        seed=episode.seed,
        stage=episode.stage,
        started_at=time.time() if episode.started_at is None else episode.started_at,
        duration_s=episode.duration_s or 0.0,
        kept=True,
        reason=None,
        tags=episode.tags,
    )
    final = observations[length] if len(observations) > length else None
    return summary, Steps(number, 0, length, columns, final, 0.0)


def _array(values: Any) -> Array:
    if isinstance(values, np.ndarray):
        return values
    values = list(values)
    if values and isinstance(values[0], dict | tuple | str):
        composite = np.empty(len(values), dtype=object)
        composite[:] = values
        return composite
    return np.asarray(values)


class StepsCache:
    """Stretches of steps by (run, episode, index), least recently used out first."""

    def __init__(self, max_bytes: int, max_summaries: int = 4096) -> None:
        self._max_bytes = max_bytes
        self._max_summaries = max_summaries
        self._bytes = 0
        self._held: OrderedDict[tuple[str, int, int], tuple[Steps, int, bool]] = OrderedDict()
        self._summaries: OrderedDict[tuple[str, int], EpisodeSummary] = OrderedDict()

    def get(self, key: tuple[str, int, int]) -> Steps | None:
        """The stretch, if it is here."""
        held = self._held.get(key)
        if held is None:
            return None
        self._held.move_to_end(key)
        return held[0]

    def is_final(self, key: tuple[str, int, int]) -> bool:
        """Whether this was read once the episode had ended (so nothing can be missing)."""
        held = self._held.get(key)
        return held is not None and held[2]

    def put(self, key: tuple[str, int, int], steps: Steps, *, final: bool) -> None:
        """Keep a stretch; `final` if its episode had ended when it was read."""
        self._discard(key)
        size = 512 + column_bytes(steps.columns)
        self._held[key] = (steps, size, final)
        self._bytes += size
        # The newest stays whatever its size, or whoever asked for it would never get it.
        while self._bytes > self._max_bytes and len(self._held) > 1:
            self._discard(next(iter(self._held)))

    def summary(self, run_id: str, episode: int) -> EpisodeSummary | None:
        """The summary of a finished episode, if it is here."""
        return self._summaries.get((run_id, episode))

    def put_summary(self, run_id: str, summary: EpisodeSummary) -> None:
        """Keep the summary of a finished episode; one that runs will change."""
        if summary.running:
            return
        self._summaries[run_id, summary.episode] = summary
        while len(self._summaries) > self._max_summaries:
            self._summaries.popitem(last=False)

    def forget(self, run_id: str) -> None:
        """Drop all of a run."""
        for key in [key for key in self._held if key[0] == run_id]:
            self._discard(key)
        for short in [key for key in self._summaries if key[0] == run_id]:
            del self._summaries[short]

    def _discard(self, key: tuple[str, int, int]) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self._bytes -= held[1]
