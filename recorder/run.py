"""`Run`: a tape, read. Safe while it is being written, and from several threads."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from recorder import runlock
from recorder.codec import INCOMPLETE, NO_FINAL, TERMINATED, TRUNCATED, Segment
from recorder.columns import Channel
from recorder.curve import Curve, read_curve
from recorder.episode import Episode, EpisodeSummary, Steps
from recorder.errors import DamagedTape, EpisodeNotFound, StepsNotKept
from recorder.layout import Layout
from recorder.listing import EpisodePage, read_page, summary_of
from recorder.packing import unpack
from recorder.pruning import BY_POLICY
from recorder.reader import SegmentReader, open_tape, reading, rows_as_dicts
from recorder.schema import FILE_NAME, RUN_COLUMNS, row_checksum
from recorder.spaces import gather
from recorder.tape import EPISODE_COLUMNS, Event

_EPISODE = f"SELECT {', '.join(EPISODE_COLUMNS)} FROM episodes"
_RECENT = 100


@dataclass(frozen=True)
class RunInfo:
    """What stands once for a run.

    `status` is `recording` (a live process holds the run), `finished`, `interrupted`, or
    `crashed` (its recorder died without a word).
    """

    run_id: str
    name: str
    created_at: float
    ended_at: float | None
    status: str
    env_id: str | None
    env_kwargs: dict[str, Any]
    observation_space: dict[str, Any]
    action_space: dict[str, Any]
    channels: tuple[Channel, ...]
    presentation: dict[str, Any]
    algorithm: str | None
    hyperparameters: dict[str, Any]
    seed: int | None
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Counts:
    """Committed work: finished episodes, steps, and what was counted as lost."""

    episodes: int
    steps: int
    lost_episodes: int
    lost_steps: int


@dataclass(frozen=True)
class RunSummary:
    """Figures over the run: means over the last 100 finished episodes, best return, epsilon.

    None where there is no episode yet.
    """

    return_100: float | None
    length_100: float | None
    best_return: float | None
    epsilon: float | None


class Run:
    """A recorded run, read-only.

    Args:
        path: the run's directory, `runs/<run_id>`.

    Raises:
        RunNotFound: there is no run.
        NotARun: the file is no tape.
        NewerSchema: it was written by a newer Reel.
        DamagedTape: it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = self.path / FILE_NAME
        self._connection = open_tape(self.path)
        self._lock = threading.RLock()
        self._segments = SegmentReader(self._connection, self._lock, self.layout)

    @property
    def run_id(self) -> str:
        """The run's id: the name of its directory."""
        return self.path.name

    def _rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock, reading(self._file):
            return self._connection.execute(statement, values).fetchall()

    @cached_property
    def layout(self) -> Layout:
        """The columns of the run's steps."""
        row = self._row()
        return Layout.from_json(row["observation_space"], row["action_space"], row["layout"])

    def _row(self) -> dict[str, Any]:
        with self._lock, reading(self._file):
            rows = rows_as_dicts(self._connection.execute("SELECT * FROM run"))
        if len(rows) != 1:
            raise DamagedTape(f"expected one row in table run of {self.path}, got {len(rows)}")
        row = rows[0]
        if row_checksum([row[name] for name in RUN_COLUMNS]) != row["checksum"]:
            # It names the columns of every step.
            raise DamagedTape(
                f"expected table run of {self.path} as it was written, got another row (checksum "
                "differs); restore the file from a copy, or save what is whole: reel recover"
            )
        for name in (
            "env_kwargs", "observation_space", "action_space", "layout", "presentation",
            "hyperparameters", "provenance",
        ):  # fmt: skip
            try:
                row[name] = json.loads(row[name])
                if not isinstance(row[name], dict):
                    raise TypeError(row[name])
            except (TypeError, ValueError, RecursionError) as error:
                raise DamagedTape(f"expected a JSON object in run.{name} of {self.path}") from error
        return row

    @property
    def info(self) -> RunInfo:
        """What stands once for the run, as it is now."""
        # Asked first: a recorder that ends in between has then written its status.
        recording = self.is_recording()
        row = self._row()
        status = row["status"]
        if recording:
            status = "recording"
        elif status == "recording":
            status = "crashed"
        names = RunInfo.__dataclass_fields__
        facts = {name: row[name] for name in names if name in row}
        return RunInfo(**{**facts, "status": status, "channels": self.layout.channels})

    def is_recording(self) -> bool:
        """Whether a live process records into this run."""
        return runlock.is_held(self.path)

    def data_version(self) -> int:
        """A number that changes when another connection has committed (2 µs a look)."""
        return int(self._rows("PRAGMA data_version")[0][0])

    def counts(self) -> Counts:
        """What is committed, whether its steps were kept or not."""
        ((episodes, steps, lost_episodes, lost_steps),) = self._rows(
            """
            SELECT (SELECT coalesce(sum(count), 0) FROM rollups
                    WHERE level = (SELECT max(level) FROM rollups)),
                   CASE WHEN lost_steps
                        AND NOT EXISTS (SELECT 1 FROM episodes WHERE kept = 0)
                   THEN (SELECT coalesce(sum(count), 0) FROM segments)
                   ELSE max(
                       (SELECT coalesce(max(first_step + count), 0) FROM segments
                        WHERE first_step = (SELECT max(first_step) FROM segments)),
                       (SELECT coalesce(max(first_step + length), 0) FROM episodes
                        WHERE episode = (SELECT max(episode) FROM episodes)),
                       CASE WHEN lost_steps THEN
                       (SELECT coalesce(max(json_extract(data, '$.to_step')), 0) FROM events
                        WHERE kind = 'gap') ELSE 0 END) - lost_steps END,
                   lost_episodes, lost_steps FROM run
            """
        )
        return Counts(episodes, steps, lost_episodes, lost_steps)

    def summary(self) -> RunSummary:
        """Means over the last 100 finished episodes, and the best return."""
        recent = self._rows(
            "SELECT episode_return, length, epsilon FROM episodes WHERE running = 0 "
            "ORDER BY episode DESC LIMIT ?",
            (_RECENT,),
        )
        if not recent:
            return RunSummary(None, None, None, None)
        returns = [row[0] for row in recent if row[0] is not None]
        # Infinite returns are no fault.
        with np.errstate(invalid="ignore", over="ignore"), reading(self._file):
            mean = float(np.sum(returns)) / len(returns) if returns else None
            length = sum(row[1] for row in recent) / len(recent)
        ((best,),) = self._rows(
            "SELECT max(return_max) FROM rollups WHERE level = (SELECT max(level) FROM rollups)"
        )
        return RunSummary(
            mean,
            length,
            best,
            recent[0][2],
        )

    def episodes(
        self, *, sort: str = "newest", limit: int = 100, cursor: str | None = None
    ) -> EpisodePage:
        """Return a page of summaries.

        Args:
            sort: `newest`, `oldest`, `best`, `worst`, `longest` or `shortest`.
            limit: most on the page.
            cursor: the `next` of the page before.

        Raises:
            ListingError: an unknown sort, or a cursor of another listing.
        """
        with self._lock, reading(self._file):
            page = read_page(self._connection, sort, limit, cursor)
        return replace(page, episodes=[self._settled(summary) for summary in page.episodes])

    def episode(self, number: int) -> EpisodeSummary:
        """Return one summary.

        Raises:
            EpisodeNotFound: the run has no such episode.
        """
        rows = self._rows(f"{_EPISODE} WHERE episode = ?", (_sqlite_int(number),))
        if not rows:
            newest = self.newest()
            there = f"0 to {newest.episode:,}" if newest else "none yet"
            raise EpisodeNotFound(
                f"expected an episode of run {self.run_id!r} ({there}), got {number}"
            )
        return self._settled(summary_of(rows[0]))

    def newest(self, kept: bool = False) -> EpisodeSummary | None:
        """Return the newest episode, the running one included, or None.

        Args:
            kept: the newest whose steps are on the tape, if it is among the last
                10,000 episodes.
        """
        where = ""
        if kept:
            where = "WHERE kept = 1 AND episode > (SELECT max(episode) FROM episodes) - 10000"
        rows = self._rows(f"{_EPISODE} {where} ORDER BY episode DESC LIMIT 1")
        return self._settled(summary_of(rows[0])) if rows else None

    def _settled(self, summary: EpisodeSummary) -> EpisodeSummary:
        """An episode that nobody goes on with is incomplete, not running."""
        if not summary.running or self.is_recording():
            return summary
        # Its recorder may have ended it after the row was read, and gone.
        rows = self._rows(f"{_EPISODE} WHERE episode = ?", (summary.episode,))
        summary = summary_of(rows[0]) if rows else summary
        return replace(summary, running=False, incomplete=True) if summary.running else summary

    def steps(self, number: int, start: int = 0, stop: int | None = None) -> Steps:
        """Return rows `[start, stop)` of an episode's steps.

        Args:
            number: the episode.
            start: first step, clamped to the episode.
            stop: step after the last, clamped to what is on the tape; its end where None.

        Raises:
            EpisodeNotFound: the run has no such episode.
            StepsNotKept: its steps were not kept.
            DamagedTape: bytes on the tape are not what was written.
        """
        with self._lock:
            summary = self.episode(number)
            if not summary.kept:
                raise StepsNotKept(
                    f"expected the steps of episode {number}, got none: its steps "
                    f"were not kept ({summary.reason or BY_POLICY}); its summary says what is known"
                )
            stop = summary.length if stop is None else max(0, min(stop, summary.length))
            start = max(0, min(start, stop))
            return self._read(summary, start, stop)

    def _read(self, summary: EpisodeSummary, start: int, stop: int) -> Steps:
        first, last = summary.first_step + start, summary.first_step + stop
        # Position T has no step of its own: read the last one for the final observation; and
        # an empty stretch has none either: read the one before for the return so far.
        at_end = stop == summary.length and not summary.running
        with reading(self._file):
            parts = self._segments.covering(min(first, last - 1 if stop else last), last)
        _check_bounds(summary, [segment for segment, _ in parts])
        with reading(self._file):
            self._check_neighbours(summary)
        pieces: dict[str, list[Any]] = {c.name: [] for c in self.layout.steps}
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
            for column in self.layout.steps
        }
        final = _final(self.layout, summary, parts[-1][0]) if at_end and parts else None
        return Steps(
            summary.episode, start, stop, self._named(columns, stop - start), final, return_before
        )

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
                    "the other on the tape, got rows that say otherwise; see reel check"
                )

    def _named(self, columns: dict[str, Any], count: int) -> dict[str, Any]:
        layout = self.layout
        named = {
            "observation": gather(layout.observation_space, "observation", columns, count),
            "action": gather(layout.action_space, "action", columns, count),
            "reward": columns["reward"],
        }
        named |= {channel.name: columns[channel.name] for channel in layout.channels}
        if layout.infos:
            infos = np.empty(count, dtype=object)
            infos[:] = [unpack(data) for data in columns["info"]]
            named["info"] = infos
        return named

    def load(self, number: int) -> Episode:
        """Return one episode whole.

        Raises:
            EpisodeNotFound: the run has no such episode.
            StepsNotKept: its steps were not kept.
            DamagedTape: bytes on the tape are not what was written.
        """
        with self._lock:
            summary = self.episode(number)
            steps = self.steps(number)
        columns = dict(steps.columns)
        observations = columns.pop("observation")
        if steps.final_observation is not None:
            last = np.empty(1, observations.dtype) if observations.dtype == object else None
            if last is not None:
                last[0] = steps.final_observation
            else:
                last = np.asarray(steps.final_observation, observations.dtype)[None]
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

    def curve(
        self,
        metric: str = "episode_return",
        first: int = 0,
        last: int | None = None,
        points: int = 1000,
    ) -> Curve:
        """Return a metric over finished episodes `[first, last)` in at most `points` points.

        Args:
            metric: `episode_return`, `length` or `epsilon`.
            first: first episode.
            last: episode after the last; the run's end where None.
            points: most points.

        Raises:
            ListingError: an unknown metric, or `points` below 1.
        """
        with self._lock, reading(self._file):
            return read_curve(self._connection, metric, first, last, points)

    def events(self) -> list[Event]:
        """Return what was marked on the timeline, oldest first."""
        rows = self._rows(
            "SELECT at, episode, global_step, kind, text, data FROM events ORDER BY id"
        )
        with reading(self._file):
            return [
                Event(at, episode, step, kind, text, json.loads(data))
                for at, episode, step, kind, text, data in rows
            ]

    def size_bytes(self) -> int:
        """Bytes of the run's directory."""
        return sum(file.stat().st_size for file in _files(self.path))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        counts = self.counts()
        return f"<Run {self.run_id}: {counts.episodes:,} episodes, {counts.steps:,} steps>"


def open_run(path: str | Path) -> Run:
    """Open a run's directory for reading. See `Run`."""
    return Run(path)


def _files(path: Path) -> Iterator[Path]:
    return (file for file in path.iterdir() if file.is_file())


def _sqlite_int(number: int) -> int:
    return number if -(1 << 63) <= number < 1 << 63 else -1


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
            f"{summary.length}; see reel check"
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
            "ending on the tape; see reel check"
        )
    if segment.flags[index] & NO_FINAL:
        return None
    finals = {name: rows[index : index + 1] for name, rows in segment.finals.items()}
    return gather(layout.observation_space, "final_observation", finals, 1)[0]
