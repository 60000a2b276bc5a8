"""Summaries of single episodes: what stands in a row, and what is known beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from recorder.episode import EpisodeSummary
from recorder.errors import EpisodeNotFound
from recorder.labels import Labels
from recorder.listing import summary_of
from recorder.tape import EPISODE_COLUMNS

_EPISODE = f"SELECT {', '.join(EPISODE_COLUMNS)} FROM episodes"


class SummaryReader:
    """Reads them.

    Args:
        run_id: the run, as errors name it.
        rows: runs a query.
        is_recording: whether a live process records into the run.
        labels: what people said of the run, as far as it can be read.
    """

    def __init__(
        self,
        run_id: str,
        rows: Callable[..., list[Any]],
        is_recording: Callable[[], bool],
        labels: Callable[[], Labels],
    ) -> None:
        self._run_id = run_id
        self._rows = rows
        self._is_recording = is_recording
        self._labels = labels

    def of(self, number: int) -> EpisodeSummary:
        """Return that of one episode. See `Run.episode`."""
        rows = self._rows(f"{_EPISODE} WHERE episode = ?", (_sqlite_int(number),))
        if not rows:
            newest = self.newest()
            there = f"0 to {newest.episode:,}" if newest else "none yet"
            raise EpisodeNotFound(
                f"expected an episode of run {self._run_id!r} ({there}), got {number}"
            )
        return self.settled(summary_of(rows[0]))

    def newest(self, kept: bool = False) -> EpisodeSummary | None:
        """Return that of the newest episode, or None. See `Run.newest`."""
        where = ""
        if kept:
            where = "WHERE kept = 1 AND episode > (SELECT max(episode) FROM episodes) - 10000"
        rows = self._rows(f"{_EPISODE} {where} ORDER BY episode DESC LIMIT 1")
        return self.settled(summary_of(rows[0])) if rows else None

    def settled(self, summary: EpisodeSummary) -> EpisodeSummary:
        """What stands in its row, and what is known beside it.

        An episode that nobody goes on with is incomplete, not running.
        """
        if summary.running and not self._is_recording():
            # Its recorder may have ended it after the row was read, and gone.
            rows = self._rows(f"{_EPISODE} WHERE episode = ?", (summary.episode,))
            summary = summary_of(rows[0]) if rows else summary
            if summary.running:
                summary = replace(summary, running=False, incomplete=True)
        return self._labels().told_of(summary)


def _sqlite_int(number: int) -> int:
    return number if -(1 << 63) <= number < 1 << 63 else -1
