"""What a researcher asks of a run: the half of `Run` that the server does without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from recorder import bulk, notebook
from recorder.dataframes import arrow_table, data_frame
from recorder.episode import Episode, EpisodeSummary
from recorder.episodes import Episodes
from recorder.errors import ListingError
from recorder.filters import columns as sql_columns
from recorder.highlights import SCAN_STEPS, Highlights, Source, find_highlights
from recorder.listing import Listing, summary_of
from recorder.pruning import blank_rows
from recorder.reader import reading
from recorder.scan import scan_segments
from recorder.selection import Selection
from recorder.stepping import named, whole
from recorder.tape import EPISODE_COLUMNS

if TYPE_CHECKING:
    from recorder.run import Run

Array = np.ndarray[Any, Any]
SLICE_STEPS = 1 << 24


@dataclass(frozen=True)
class TapeSlice:
    """Steps of the tape, whatever episodes they belong to.

    Attributes:
        global_step: int64 `(n,)`; a number is missing where a step was not kept.
        episode: int64 `(n,)`, the episode of each step.
        step: int64 `(n,)`, its step within that episode.
        columns: `observation`, `action`, `reward` and each channel, each `(n, ...)`.
    """

    global_step: Array
    episode: Array
    step: Array
    columns: dict[str, Array]

    def __len__(self) -> int:
        return len(self.global_step)

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame`, a row a step, indexed by `global_step`.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return data_frame(self._flat(), index="global_step")

    def to_arrow(self) -> Any:
        """Return a `pyarrow.Table`, a row a step.

        Raises:
            MissingExtra: pyarrow is not installed.
        """
        return arrow_table(self._flat())

    def _flat(self) -> dict[str, Any]:
        places = {"global_step": self.global_step, "episode": self.episode, "step": self.step}
        return {**places, **self.columns}


class Asking:
    """See the module; `Run` is the only one of its kind."""

    @property
    def episodes(self) -> Episodes:
        """Summaries of all episodes, as a lazy sequence, oldest first. See `Episodes`."""
        return Episodes(self._run)

    def batches(
        self, where: str | None = None, *, read_ahead: bool = False
    ) -> Iterator[bulk.Stretch]:
        """Yield the steps of all episodes, or of some, as columns, a segment at a time.

        >>> sum(float(batch.columns["reward"].sum()) for batch in open_run("runs/maze").batches())
        1.0

        A batch is one segment: 16,384 steps, or 4 MiB, at most, but for a segment of one huge
        step. No more than that is held, however long the run is. Left out are episodes whose
        steps were not kept, and one that runs.

        Args:
            where: a filter (`recorder.expression`).
            read_ahead: read the next batches on other threads while one is used. Up to three
                more are held then, but none that is larger than 4 MiB; where a second core is
                free, a scan takes about half the time.

        Raises:
            ExpressionError: the filter does not parse.
            DamagedTape: bytes on the tape are not what was written.
        """
        selection = Selection().where(where) if where else Selection()
        return bulk.scan(self._run, selection, read_ahead)

    def tape(self, start: int, stop: int) -> TapeSlice:
        """Return the steps of the tape from global step `start` to before `stop`.

        >>> piece = open_run("runs/maze").tape(2, 6)
        >>> piece.episode.tolist(), piece.step.tolist()
        ([0, 0, 1, 1], [2, 3, 0, 1])
        >>> piece.columns["q_values"].shape
        (4, 4)

        Args:
            start: 0 is the run's first step.
            stop: what lies behind the run's end is left out.

        Raises:
            ListingError: a negative step, or more than 16,777,216 steps at once; see
                `batches` for those.
            DamagedTape: bytes on the tape are not what was written.
        """
        run = self._run
        if start < 0 or stop < start or stop - start > SLICE_STEPS:
            raise ListingError(
                f"expected a slice of 0 to {SLICE_STEPS:,} steps, got {start} to {stop}; "
                "go through more of them with batches()"
            )
        layout = run.layout
        pieces: dict[str, list[Array]] = {column.name: [] for column in layout.steps}
        numbers: list[Array] = []
        with reading(run._file):
            for segment, _ in scan_segments(run._connection, run._lock, layout, start, stop):
                rows = np.arange(
                    max(start - segment.first_step, 0),
                    min(stop - segment.first_step, segment.count),
                )
                for low, high in blank_rows(segment):
                    rows = rows[(rows < low) | (rows >= high)]
                numbers.append(rows + segment.first_step)
                for name, values in segment.columns.items():
                    pieces[name].append(values[rows])
        steps = np.concatenate([np.empty(0, np.int64), *numbers])
        columns = {
            column.name: np.concatenate([column.empty(0), *pieces[column.name]])
            for column in layout.steps
        }
        places = np.array(
            run._rows(
                "SELECT episode, first_step, length FROM episodes WHERE first_step < ? "
                "AND first_step + length > ? AND kept = 1 ORDER BY episode",
                (stop, start),
            ),
            np.int64,
        ).reshape(-1, 3)
        place = np.searchsorted(places[:, 1], steps, "right") - 1
        within = place >= 0
        within[within] &= steps[within] < (places[:, 1] + places[:, 2])[place[within]]
        place, steps = place[within], steps[within]
        columns = {name: values[within] for name, values in columns.items()}
        return TapeSlice(
            steps, places[place, 0], steps - places[place, 1],
            named(layout, columns, len(steps)),
        )  # fmt: skip

    def load(self, number: int) -> Episode:
        """Return one episode whole.

        Raises:
            EpisodeNotFound: the run has no such episode.
            StepsNotKept: its steps were not kept.
            DamagedTape: bytes on the tape are not what was written.
        """
        run = self._run
        with run._lock:
            summary = run.episode(number)
            steps = run.steps(number)
        return replace(whole(summary, steps), player=self._player)

    def keyframes(self) -> list[tuple[int, int]]:
        """Return the global step and the episode of each stored Q-table, in order.

        Raises:
            NoQTable: the run has none.
        """
        run = self._run
        with run._lock, reading(run._file):
            return run._q_tables.keyframes()

    def highlights(self, scan_steps: int | None = SCAN_STEPS) -> Highlights:
        """Return the few episodes worth watching, and how much was looked at for them.

        Args:
            scan_steps: about how many steps to search for the biggest surprise (the TD
                error), spread evenly over the tape; None: all of them.

        Raises:
            DamagedTape: bytes on the tape are not what was written.
        """
        run = self._run
        with reading(run._file):
            return find_highlights(
                Source(
                    run._connection, run._lock, run._scan, run.layout,
                    run.info.hyperparameters, run.is_recording(), run.episode,
                ),
                scan_steps,
            )  # fmt: skip

    def endings(self) -> dict[str, int]:
        """Return how many finished episodes ended how: `terminated`, `truncated`, `incomplete`.

        One may be of the first two both; `kept` counts those whose steps are on the tape.
        """
        run = self._run
        names = sql_columns(run.is_recording(), run.known_labels)
        told = ("terminated", "truncated", "incomplete", "kept")
        (row,) = run._scan(
            f"SELECT {', '.join(f'coalesce(sum({names[name].text}), 0)' for name in told)} "
            f"FROM episodes WHERE NOT {names['running'].text}"
        )
        return dict(zip(told, row, strict=True))

    def count_episodes(self, listing: Listing, settled: bool = False) -> int:
        """Return how many episodes a listing has.

        Args:
            listing: which.
            settled: leave out an episode that runs.
        """
        run = self._run
        recording = run.is_recording()
        clause = listing.condition(recording, run.known_labels)
        running = sql_columns(recording, run.known_labels)["running"].text
        more = f" AND NOT {running}" if settled else ""
        with reading(run._file):
            ((count,),) = run._scan(
                f"SELECT count(*) FROM episodes WHERE {clause.text}{more}", clause.values
            )
        return int(count)

    def episode_at(self, place: int, newest: bool = False) -> EpisodeSummary | None:
        """Return the episode at a place among all, in the order of their numbers, or None."""
        run = self._run
        rows = run._scan(
            f"SELECT {', '.join(EPISODE_COLUMNS)} FROM episodes "
            f"ORDER BY episode {'DESC' if newest else 'ASC'} LIMIT 1 OFFSET ?",
            (place,),
        )
        return run._summaries.settled(summary_of(rows[0])) if rows else None

    def _player(self, episode: Episode, theme: str) -> notebook.Player:
        return notebook.player(vars(self._run.info), episode, theme)

    def _repr_html_(self) -> str:
        return notebook.run_html(self._run)

    @property
    def _run(self) -> Run:
        return cast("Run", self)
