"""`Run`: a tape, read. Safe while it is being written, and from several threads."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from recorder import runlock
from recorder.asking import Asking
from recorder.candidates import survey
from recorder.catalogue import files_bytes
from recorder.codec import Array, Segment
from recorder.counting import Counts as TapeCounts
from recorder.curve import Curve, read_curve
from recorder.episode import EpisodeSummary, Steps, Stretch
from recorder.errors import ListingError, NoQTable, StepsNotKept
from recorder.events import count_events, read_events
from recorder.expression_tree import Expression
from recorder.facets import Facet, read_facets
from recorder.labels import LabelReader, Labels
from recorder.layout import Layout
from recorder.listing import EpisodePage, Listing, read_page
from recorder.pruning import BY_POLICY
from recorder.qtables import MOST_STATES, QRange, QTable, QTables
from recorder.reader import SegmentReader, open_tape, reading, rows_as_dicts
from recorder.runrow import (
    Counts,
    RunInfo,
    RunSummary,
    checked_row,
    info_of,
    read_counts,
    read_summary,
)
from recorder.scans import Scans
from recorder.schema import FILE_NAME
from recorder.stepping import EpisodeReader
from recorder.summaries import SummaryReader
from recorder.tape import Event
from recorder.zones import Zones


class Run(Asking):
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
        self._scan = Scans(self.path)
        self._zones = Zones()
        try:
            layout = self.layout
        except BaseException:
            self._connection.close()
            raise
        self._segments = SegmentReader(self._connection, self._lock, layout)
        self._steps = EpisodeReader(self._file, layout, self._segments, self._rows)
        self._labels = LabelReader(self.path)
        self._summaries = SummaryReader(
            self.run_id, self._rows, self.is_recording, lambda: self.known_labels
        )

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
        return checked_row(rows, self.path)

    @property
    def info(self) -> RunInfo:
        """What stands once for the run, as it is now."""
        # Asked first: a recorder that ends in between has then written its status.
        recording = self.is_recording()
        row = self._row()
        return info_of(row, self.layout.channels, self._labels.known(), recording=recording)

    @property
    def labels(self) -> Labels:
        """What people said of the run and its episodes since, as it is now.

        Raises:
            DamagedLabels, NewerSchema: the file beside the tape cannot be read.
        """
        return self._labels.read()

    @property
    def known_labels(self) -> Labels:
        """The same; none, where they cannot be read (`info.labels_fault` says why)."""
        return self._labels.known()[0]

    def is_recording(self) -> bool:
        """Whether a live process records into this run."""
        return runlock.is_held(self.path)

    def data_version(self) -> int:
        """A number that changes when another connection has committed (2 µs a look)."""
        return int(self._rows("PRAGMA data_version")[0][0])

    def counts(self) -> Counts:
        """What is committed, whether its steps were kept or not."""
        return read_counts(self._rows)

    def summary(self) -> RunSummary:
        """Means over the last 100 finished episodes, and the best return."""
        with reading(self._file):
            return read_summary(self._rows)

    def page(
        self,
        *,
        where: str | Expression | None = None,
        text: str | None = None,
        sort: str = "newest",
        limit: int = 100,
        cursor: str | None = None,
        total: bool = True,
    ) -> EpisodePage:
        """Return a page of summaries. `episodes` is the same as a sequence.

        Args:
            where: a filter such as `episode_return < 0 and length > 40 and stage == "3"`; see
                `recorder.expression`.
            text: words to look for in tags, stages, reasons and notes.
            sort: `newest`, `oldest`, `best`, `worst`, `longest`, `shortest`, or a field's name
                (least first; `-length`: greatest first). All but the first two leave out an
                episode that runs.
            limit: most on the page.
            cursor: the `next` of the page before.
            total: whether to count all that match; if not, `total` is the page's.

        Raises:
            ExpressionError: the filter does not parse.
            ListingError: an unknown sort, or a cursor of another listing.
        """
        listing = Listing(where, text)
        with reading(self._file):
            page = read_page(
                self._scan, self._zones, listing, sort=sort, limit=limit, after=cursor, total=total,
                recording=self.is_recording(), labels=self.known_labels,
            )  # fmt: skip
        return replace(page, episodes=[self._summaries.settled(one) for one in page.episodes])

    def facets(
        self, *, where: str | Expression | None = None, text: str | None = None
    ) -> dict[str, Facet]:
        """Return what values there are among the episodes of a listing, and how often.

        Args:
            where: see `page`.
            text: see `page`.

        Returns:
            By field: `outcome`, `stage`, `tags`, `seed`, `reason`.

        Raises:
            ExpressionError: the filter does not parse.
        """
        with reading(self._file):
            return read_facets(
                self._scan,
                self._zones,
                Listing(where, text),
                self.is_recording(),
                self.known_labels,
            )

    def survey(self, most: int | None = None) -> bool:
        """Learn what there is in each block of 4096 episodes: it makes later filters quick.

        A million episodes take about a second, and some 500 KiB of memory. `facets` does the
        same by the way; who lists only once needs it not.

        Args:
            most: blocks to look at in this call; None: all.

        Returns:
            Whether there is more to learn.
        """
        with reading(self._file):
            return survey(self._scan, self._zones, settled=not self.is_recording(), most=most)

    def episode(self, number: int) -> EpisodeSummary:
        """Return one summary.

        Raises:
            EpisodeNotFound: the run has no such episode.
        """
        return self._summaries.of(number)

    def newest(self, kept: bool = False) -> EpisodeSummary | None:
        """Return the newest episode, the running one included, or None.

        Args:
            kept: the newest whose steps are on the tape, if it is among the last
                10,000 episodes.
        """
        return self._summaries.newest(kept)

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
            return self._steps.read(summary, start, stop)

    def stretch(self, number: int, step: int) -> Stretch:
        """Return how far around a step an episode can be read, or cannot.

        Where `steps` raises `DamagedTape` this tells what part is damaged, and where one that
        is not begins. A sound stretch goes as far as a segment of the tape does.

        Raises:
            EpisodeNotFound: the run has no such episode.
        """
        with self._lock:
            return self._steps.stretch(self.episode(number), step)

    def q_table(self, step: int | None = None, *, episode: int | None = None) -> QTable:
        """Return the Q-table as it was at a moment of the training.

        Args:
            step: a global step, 0 to the run's end: the table that the action of that step was
                chosen on. Given an `episode`, a step of that episode.
            episode: the moment at which this episode began. Neither: the run's end.

        Raises:
            NoQTable: the run has none.
            EpisodeNotFound: the run has no such episode.
            ListingError: a step that the run does not have.
            DamagedTape: bytes on the tape are not what was written.
        """
        with self._lock, reading(self._file):
            end = self.end_step
            if episode is not None:
                summary = self.episode(episode)
                step = summary.first_step + max(0, min(step or 0, summary.length))
            if step is None:
                step = end
            if not 0 <= step <= end:
                raise ListingError(
                    f"expected a step of run {self.run_id!r}, 0 to {end}, got {step}"
                )
            return self._q_tables.at(step, end)

    def action_counts(self) -> Array:
        """Return how often each action was taken, `(actions,)`, over the steps on the tape.

        Raises:
            NoQTable: the actions are not numbered (the space is not `Discrete`).
            DamagedTape: bytes on the tape are not what was written.
        """
        with self._lock, reading(self._file):
            return self._action_counts.before(self.end_step)

    @cached_property
    def _action_counts(self) -> TapeCounts:
        space = self.layout.action_space
        if space["type"] != "Discrete" or not 0 < int(space["n"]) <= MOST_STATES:
            raise NoQTable("expected numbered actions (a Discrete action space), got others")
        column = len(self.layout.observation)
        start = int(space.get("start", 0))
        return TapeCounts(self.layout, self._rows, column, start, int(space["n"]))

    def q_range(self) -> QRange:
        """Return what a colour scale over all Q-values of the run has to cover.

        Raises:
            NoQTable: the run has none.
            DamagedTape: bytes on the tape are not what was written.
        """
        with self._lock, reading(self._file):
            return self._q_tables.range(self.end_step)

    @cached_property
    def _q_tables(self) -> QTables:
        def covering(first: int, stop: int) -> list[Segment]:
            return [segment for segment, _ in self._segments.covering(first, stop)]

        return QTables(self.layout, self._rows, covering)

    @property
    def end_step(self) -> int:
        """The global step behind the last."""
        newest = self.newest()
        return 0 if newest is None else newest.first_step + newest.length

    def curve(
        self,
        metric: str = "episode_return",
        first: int = 0,
        last: int | None = None,
        points: int = 1000,
    ) -> Curve:
        """Return a metric over finished episodes `[first, last)` in at most `points` points.

        Over more than 20,000 episodes there are at most 4,000 of them.

        Args:
            metric: `episode_return`, `length` or `epsilon`.
            first: first episode.
            last: episode after the last; the run's end where None.
            points: most points.

        Raises:
            ListingError: an unknown metric, or `points` below 1.
        """
        with self._lock, reading(self._file):
            return read_curve(self._connection, self._zones, metric, first, last, points)

    def events(
        self, first: int = 0, last: int | None = None, *, skip: int = 0, limit: int | None = None
    ) -> list[Event]:
        """Return what was marked on the timeline, oldest first.

        Args:
            first: first episode.
            last: episode after the last; the run's end where None.
            skip: how many of the oldest to leave out: events are only ever added, so who has
                so many already asks for those that came since.
            limit: most; None: all.
        """
        with reading(self._file):
            return read_events(self._rows, first, last, skip, limit)

    def event_count(self, first: int = 0, last: int | None = None) -> int:
        """Return how many events there are in these episodes."""
        return count_events(self._rows, first, last)

    def size_bytes(self) -> int:
        """Bytes of the run's directory."""
        return files_bytes(self.path)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
        self._scan.close()

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
