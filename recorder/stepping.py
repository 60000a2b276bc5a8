"""The steps of one episode, out of the segments that hold them, and checked.

A segment's checksum covers its bytes; the rows of `episodes` are held against the ends within
the segments here, so that no row that was changed shows another episode's steps.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np

from recorder.codec import INCOMPLETE, NO_FINAL, TERMINATED, TRUNCATED, Segment
from recorder.episode import Episode, EpisodeSummary, Steps, Stretch
from recorder.errors import DamagedTape
from recorder.hints import reel_command
from recorder.layout import Layout
from recorder.packing import unpack
from recorder.reader import SegmentReader, reading
from recorder.runrow import Rows
from recorder.spaces import gather


class EpisodeReader:
    """Reads stretches of steps.

    Args:
        file: the tape's file, for messages.
        layout: the run's.
        segments: reads segments.
        rows: runs a query.
    """

    def __init__(self, file: Path, layout: Layout, segments: SegmentReader, rows: Rows) -> None:
        self._file = file
        self._layout = layout
        self._segments = segments
        self._rows = rows

    def read(self, summary: EpisodeSummary, start: int, stop: int) -> Steps:
        """Return rows `[start, stop)` of an episode; bounds within it.

        Raises:
            DamagedTape: bytes on the tape are not what was written.
        """
        first, last = summary.first_step + start, summary.first_step + stop
        # Position T has no step of its own: read the last one for the final observation; and
        # an empty stretch has none either: read the one before for the return so far.
        at_end = stop == summary.length and not summary.running
        with reading(self._file):
            parts = self._segments.covering(min(first, last - 1 if stop else last), last)
        _check_bounds(summary, [segment for segment, _ in parts])
        with reading(self._file):
            self._check_neighbours(summary)
        pieces: dict[str, list[Any]] = {c.name: [] for c in self._layout.steps}
        reached, return_before = first, 0.0
        for index, (segment, before) in enumerate(parts):
            low = max(first - segment.first_step, 0)
            high = max(min(last - segment.first_step, segment.count), low)
            if index == 0:
                return_before = _return_before(summary, segment, before, first)
            if segment.first_step + low > reached:
                break
            for name, rows in segment.columns.items():
                pieces[name].append(rows[low:high])
            reached = max(reached, segment.first_step + high)
        if reached < last:
            raise DamagedTape(
                f"expected steps {start} to {stop - 1} of episode {summary.episode}, got none "
                f"from step {reached - summary.first_step} on; they were lost or cut off"
            )
        columns = {
            column.name: np.concatenate(pieces[column.name])
            if pieces[column.name]
            else column.empty(0)
            for column in self._layout.steps
        }
        final = _final(self._layout, summary, parts[-1][0]) if at_end and parts else None
        return Steps(
            summary.episode,
            start,
            stop,
            named(self._layout, columns, stop - start),
            final,
            return_before,
        )

    def stretch(self, summary: EpisodeSummary, step: int) -> Stretch:
        """Return the stretch of an episode that holds a step: what a segment holds of it, or all
        that cannot be read around it.

        A segment is opened for it, and more only where some are damaged.
        """
        first, last = summary.first_step, summary.first_step + summary.length
        at = min(max(first, first + step), last - 1)
        with reading(self._file):
            found = self._rows(
                "SELECT first_step FROM segments WHERE first_step >= coalesce("
                "(SELECT max(first_step) FROM segments WHERE first_step <= ?), 0) "
                "AND first_step < ? ORDER BY first_step",
                (first, last),
            )
        begins = [int(row[0]) for row in found]
        here = bisect_right(begins, at) - 1
        low, high = first, last
        for index in range(here, -1, -1):
            stop = self._sound_until(begins[index])
            if stop > at:
                return Stretch(max(0, begins[index] - first), min(stop, last) - first, sound=True)
            if stop:
                low = max(first, stop)
                break
        for begin in begins[here + 1 :]:
            if self._sound_until(begin):
                high = begin
                break
        return Stretch(low - first, high - first, sound=False)

    def _sound_until(self, begin: int) -> int:
        """The global step behind the segment that begins there; 0 where it cannot be read."""
        try:
            with reading(self._file):
                parts = self._segments.covering(begin, begin + 1)
        except DamagedTape:
            return 0
        return parts[0][0].first_step + parts[0][0].count if parts else 0

    def _check_neighbours(self, summary: EpisodeSummary) -> None:
        """Refuse a row that was changed so that it names the steps of another episode."""
        number, first = summary.episode, summary.first_step
        for other, start, length in self._rows(
            "SELECT episode, first_step, length FROM episodes WHERE episode IN (?, ?)",
            (number - 1, number + 1),
        ):
            follows = start + length <= first if other < number else start >= first + summary.length
            if not follows:
                raise DamagedTape(
                    f"expected episodes {min(number, other)} and {max(number, other)} one behind "
                    "the other on the tape, got rows that say otherwise; see "
                    f"{reel_command()} check"
                )


def named(layout: Layout, columns: dict[str, Any], count: int) -> dict[str, Any]:
    """Return columns of a layout by the names that people know: `observation`, `action`, ..."""
    found = {
        "observation": gather(layout.observation_space, "observation", columns, count),
        "action": gather(layout.action_space, "action", columns, count),
        "reward": columns["reward"],
    }
    found |= {channel.name: columns[channel.name] for channel in layout.channels}
    if layout.infos:
        infos = np.empty(count, dtype=object)
        infos[:] = [unpack(data) for data in columns["info"]]
        found["info"] = infos
    return found


def whole(summary: EpisodeSummary, steps: Steps) -> Episode:
    """Return an episode of which `steps` are all."""
    columns = dict(steps.columns)
    observations = columns.pop("observation")
    if steps.final_observation is not None:
        last = np.empty(1, observations.dtype) if observations.dtype == object else None
        if last is not None:
            last[0] = steps.final_observation
        else:
            last = np.asarray(steps.final_observation)[None]
        observations = np.concatenate([observations, last])
    return Episode(
        observations=observations,
        actions=columns.pop("action"),
        rewards=columns.pop("reward"),
        infos=columns.pop("info", None),
        channels=columns,
        **{
            name: getattr(summary, name)
            for name in (
                "terminated", "truncated", "incomplete", "epsilon", "seed", "stage",
                "started_at", "duration_s", "episode", "first_step", "tags",
            )
        },
    )  # fmt: skip


def _return_before(summary: EpisodeSummary, segment: Any, before: float, first: int) -> float:
    """Sum of the episode's rewards before global step `first`, which `segment` holds."""
    rewards = segment.columns["reward"]
    start = summary.first_step - segment.first_step
    row = first - segment.first_step
    with np.errstate(invalid="ignore", over="ignore"):  # infinite rewards are no fault
        if start >= 0:
            return float(rewards[start:row].sum())
        return before + float(rewards[:row].sum())


def _check_bounds(summary: EpisodeSummary, segments: list[Segment]) -> None:
    """Hold an episode's row against the ends in its segments.

    Segments have checksums, rows have none: one that was changed must not show steps of
    other episodes as this one's.
    """
    first, last = summary.first_step, summary.first_step + summary.length
    if summary.length < 1:
        raise DamagedTape(
            f"expected episode {summary.episode} to have steps, got a row that says "
            f"{summary.length}; see {reel_command()} check"
        )
    for segment in segments:
        ends = segment.ends + segment.first_step
        begins_within = segment.first_step < first < segment.first_step + segment.count
        if ((first < ends) & (ends < last)).any() or (begins_within and first not in ends):
            raise DamagedTape(
                f"expected episode {summary.episode} from global step {first:,} to {last - 1:,}, "
                "got the steps of other episodes there; restore the run from a copy"
            )


def _final(layout: Layout, summary: EpisodeSummary, segment: Any) -> Any:
    """The final observation of a finished episode, from the segment of its last step."""
    last = summary.first_step + summary.length
    index = int(np.searchsorted(segment.ends, last - segment.first_step))
    if index >= len(segment.ends) or segment.ends[index] != last - segment.first_step:
        if summary.incomplete:  # its recorder died
            return None
        raise DamagedTape(f"expected an episode's end after global step {last - 1}, got none")
    told = TERMINATED * summary.terminated | TRUNCATED * summary.truncated
    told |= INCOMPLETE * summary.incomplete
    if segment.flags[index] & (TERMINATED | TRUNCATED | INCOMPLETE) != told:
        raise DamagedTape(
            f"expected episode {summary.episode} to have ended as its row says, got another "
            f"ending on the tape; see {reel_command()} check"
        )
    if segment.flags[index] & NO_FINAL:
        return None
    finals = {name: rows[index : index + 1] for name, rows in segment.finals.items()}
    return gather(layout.observation_space, "final_observation", finals, 1)[0]
