"""Reading many episodes at once: every segment is decoded once, checks are made in bulk.

`scan` gives the steps of a selection as columns, a segment at a time; `load_episodes` gives
them episode by episode. What is held in memory is a segment, or an episode, and the few that
are read ahead (`recorder.ahead`), however long the run is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from recorder.ahead import DEPTH, Ahead
from recorder.codec import INCOMPLETE, NO_FINAL, TERMINATED, TRUNCATED, Segment
from recorder.episode import Episode
from recorder.errors import DamagedTape, StepsNotKept
from recorder.hints import reel_command
from recorder.layout import Layout
from recorder.listing import summary_of
from recorder.packing import unpack
from recorder.pages import PLACE, RUNNING, pages, places, rows_of
from recorder.pruning import BLANK
from recorder.reader import reading
from recorder.selection import EVERYTHING, Selection
from recorder.spaces import gather
from recorder.tape import EPISODE_COLUMNS

if TYPE_CHECKING:
    from recorder.run import Run

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Stretch:
    """Steps of a selection, in the tape's order: those that one segment holds.

    Attributes:
        episode: the episode of each row, int64 `(n,)`.
        step: the row's step within its episode, int64 `(n,)`.
        columns: the layout's columns by name, each `(n, ...)`; leaves of composite spaces
            by their dotted names, packed ones as bytes.
        ends: the row after the last step of each episode that ends here, int64 `(m,)`.
        flags: how each of them ended (see `codec`), uint8 `(m,)`.
        finals: their final observations by column, each `(m, ...)`; blank where `flags`
            has `NO_FINAL`.
    """

    episode: Array
    step: Array
    columns: dict[str, Array]
    ends: Array
    flags: Array
    finals: dict[str, Array]

    def __len__(self) -> int:
        return len(self.episode)


def scan(run: Run, selection: Selection = EVERYTHING, read_ahead: bool = True) -> Iterator[Stretch]:
    """Yield the steps of every selected episode that has its steps, a segment at a time.

    Episodes whose steps were not kept are left out, and so is one that still runs.

    Args:
        run: open for reading; it may be recording.
        selection: which episodes.
        read_ahead: whether the next segments are read while one is used.

    Raises:
        DamagedTape: bytes on the tape are not what was written.
    """
    with _ahead(run, DEPTH if read_ahead else 0) as ahead:
        for rows, _ in ahead.pages((rows, None) for rows in places(run, selection)):
            yield from _stretches(run, ahead, rows)


def scan_with(
    run: Run, selection: Selection, columns: Sequence[str]
) -> Iterator[tuple[Stretch, list[tuple[Any, ...]]]]:
    """The same, and with each stretch these columns of the episodes that end in it."""
    wanted = ", ".join((*PLACE, *columns))
    with _ahead(run) as ahead:
        for rows, page in ahead.pages(
            (rows_of(run, page), page) for page in pages(run, selection, wanted)
        ):
            told = (row[len(PLACE) :] for row in page)
            for stretch in _stretches(run, ahead, rows):
                yield stretch, list(islice(told, len(stretch.ends)))


def load_episodes(run: Run, selection: Selection = EVERYTHING) -> Iterator[Episode]:
    """Yield every selected episode that has its steps, whole, by rising number.

    Faster than `Run.load` for each: 1,000 episodes that share a segment decode it once.

    Raises:
        DamagedTape: bytes on the tape are not what was written.
    """
    columns = ", ".join(EPISODE_COLUMNS)
    with _ahead(run) as ahead:
        for rows, page in ahead.pages(
            (_places_of(run, page), page) for page in pages(run, selection, columns)
        ):
            waiting = iter(page)
            pieces: list[Any] = []
            for stretch in _stretches(run, ahead, rows):
                start = 0
                for index, end in enumerate(stretch.ends.tolist()):
                    pieces.append((stretch, start, end))
                    yield _episode(run.layout, next(waiting), pieces, (stretch, index))
                    pieces, start = [], end
                if start < len(stretch):
                    pieces.append((stretch, start, len(stretch)))


def _places_of(run: Run, page: Sequence[tuple[Any, ...]]) -> Array:
    """As of `pages.places`; refuses rows that no recorder wrote."""
    for row in {tuple(map(type, row)): row for row in page}.values():
        summary_of(row)
    with reading(run._file):
        rows = np.array([row[:3] + row[4:8] for row in page], np.int64)
    flags = (rows[:, 3:] != 0) @ np.array([TERMINATED, TRUNCATED, INCOMPLETE, RUNNING])
    return np.column_stack([rows[:, :3], flags])


def _ahead(run: Run, depth: int = DEPTH) -> Ahead:
    return Ahead(run.path, run.layout, (run._connection, run._lock), depth)


def _stretches(run: Run, ahead: Ahead, rows: Array) -> Iterator[Stretch]:
    """The steps of some episodes; `rows` as of `pages.places`."""
    number, first, length, flags = np.ascontiguousarray(rows.T)
    told = (flags & (TERMINATED | TRUNCATED | INCOMPLETE)).astype(np.uint8)
    told[flags & RUNNING != 0] = INCOMPLETE
    stop = first + length
    if (length < 1).any() or (first[1:] < stop[:-1]).any():
        raise DamagedTape(
            "expected episodes one behind the other on the tape, got rows that say otherwise; "
            f"see {reel_command()} check"
        )
    done, at = 0, int(first[0]) if len(first) else 0
    while done < len(number):
        segment = ahead.segment(at)
        begin = segment.first_step if segment is not None else at
        end = begin + segment.count if segment is not None else at
        if segment is None or end <= at:
            raise _missing(run, int(number[done]), at - int(first[done]))
        low, high = done, int(np.searchsorted(first, end, "left"))
        starts = np.maximum(first[low:high], at) - begin
        stops = np.minimum(stop[low:high], end) - begin
        ended = stop[low:high] <= end
        finals, wrong = _ends(
            segment, starts, stops, ended, first[low:high] - begin, told[low:high]
        )
        if wrong is not None:
            raise _missing(run, int(number[low + wrong]), None)
        yield _stretch(segment, number[low:high], starts, stops, begin - first[low:high], ended,
                       told[low:high], finals)  # fmt: skip
        done = high if not len(ended) or ended[-1] else high - 1
        if done < len(number):
            at = max(end, int(first[done]))


def _ends(
    segment: Segment, starts: Array, stops: Array, ended: Array, begins: Array, told: Array
) -> tuple[Array, int | None]:
    """Where each ended episode's end stands in the segment (-1: nowhere).

    And the first episode whose row says other than the segment, or None.
    """
    ends = segment.ends
    after, place = np.searchsorted(ends, starts, "right"), np.searchsorted(ends, stops, "left")
    wrong = after != np.maximum(place, after)  # the end of another one, inside
    within = begins > 0
    before = np.searchsorted(ends, begins, "left")
    known = before < len(ends)
    wrong |= within & ~(known & (np.append(ends, -1)[np.where(known, before, -1)] == begins))
    there = place < len(ends)
    there &= np.append(ends, -1)[np.where(there, place, -1)] == stops
    flags = np.append(segment.flags, 0)[np.where(there, place, -1)]
    ending = flags & (TERMINATED | TRUNCATED | INCOMPLETE)
    wrong |= ended & there & ((ending != told) | (flags & BLANK != 0))
    wrong |= ended & ~there & (told != INCOMPLETE)  # its recorder died
    index = np.where(there & ended, place, -1)
    return index, int(np.argmax(wrong)) if wrong.any() else None


def _stretch(
    segment: Segment, number: Array, starts: Array, stops: Array, offset: Array, ended: Array,
    told: Array, place: Array,
) -> Stretch:  # fmt: skip
    counts = stops - starts
    rows: Any
    if (starts[1:] == stops[:-1]).all():
        rows = slice(int(starts[0]), int(stops[-1]))
        local = np.arange(rows.start, rows.stop)
    else:
        shift = np.repeat(starts - np.append(0, np.cumsum(counts)[:-1]), counts)
        rows = local = shift + np.arange(int(counts.sum()))
    place = place[ended]
    flags = np.append(segment.flags, 0)[place]
    flags = np.where(place < 0, told[ended] | NO_FINAL, flags).astype(np.uint8)
    return Stretch(
        np.repeat(number, counts),
        local + np.repeat(offset, counts),
        {name: values[rows] for name, values in segment.columns.items()},
        np.cumsum(counts)[ended],
        flags,
        {
            name: values[place] if len(values) else _blank(values, len(place))
            for name, values in segment.finals.items()
        },
    )


def _blank(values: Array, count: int) -> Array:
    return np.full((count, *values.shape[1:]), b"" if values.dtype == object else 0, values.dtype)


def _missing(run: Run, number: int, step: int | None) -> Exception:
    """What to say of an episode whose steps are not where its row says."""
    if not run.episode(number).kept:  # it was, a moment ago
        return StepsNotKept(
            f"expected the steps of episode {number}, got none: they were let go a moment ago; "
            "do the same again"
        )
    where = "" if step is None else f" from step {step:,} on"
    return DamagedTape(
        f"expected the steps of episode {number} of run {run.run_id!r}{where}, got others or none; "
        f"see {reel_command()} check, or save what is whole: {reel_command()} recover"
    )


def _episode(
    layout: Layout,
    row: tuple[Any, ...],
    pieces: Sequence[tuple[Stretch, int, int]],
    end: tuple[Stretch, int],
) -> Episode:
    # Copied where it is one piece too: a view would hold the whole segment in memory.
    if len(pieces) == 1:
        ((stretch, start, stop),) = pieces
        columns = {name: rows[start:stop].copy() for name, rows in stretch.columns.items()}
    else:
        columns = {
            name: np.concatenate([s.columns[name][start:stop] for s, start, stop in pieces])
            for name in end[0].columns
        }
    (
        number, first_step, count, _, terminated, truncated, incomplete, running, epsilon, seed,
        stage, started_at, duration_s, _, _, tags,
    ) = row  # fmt: skip
    observations = gather(layout.observation_space, "observation", columns, count)
    actions = gather(layout.action_space, "action", columns, count)
    last, index = end
    if not last.flags[index] & NO_FINAL:
        if observations.dtype == object:
            observations = with_final(observations, final_value(layout, last, index))
        else:  # one numeric array, as its final ones are
            finals = last.finals["final_observation"][index : index + 1]
            finals = gather(
                layout.observation_space, "final_observation", {"final_observation": finals}, 1
            )
            observations = np.concatenate([observations, finals])
    infos = None
    if layout.infos:
        infos = np.empty(count, dtype=object)
        infos[:] = [unpack(data) for data in columns["info"]]
    return Episode(
        observations,
        actions,
        columns["reward"],
        bool(terminated),
        bool(truncated),
        bool(incomplete or running),
        {channel.name: columns[channel.name] for channel in layout.channels},
        epsilon,
        seed,
        stage,
        started_at,
        duration_s,
        number,
        first_step,
        tuple(tags.split()) if tags else (),
        infos,
    )


def final_value(layout: Layout, stretch: Stretch, index: int) -> Any:
    """Return the final observation of an episode that ends in a stretch; None if not known."""
    if stretch.flags[index] & NO_FINAL:
        return None
    finals = {name: rows[index : index + 1] for name, rows in stretch.finals.items()}
    return gather(layout.observation_space, "final_observation", finals, 1)[0]


def with_final(observations: Array, final: Any) -> Array:
    """Return observations `(T, ...)` with the final one behind them, `(T + 1, ...)`."""
    if observations.dtype == object:
        last = np.empty(1, object)
        last[0] = final
    else:
        last = np.asarray(final, observations.dtype)[None]
    return np.concatenate([observations, last])
