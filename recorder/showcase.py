"""What is shown of the work that passes by: whole episodes, the newest ones.

Feeds the live queue with the newest episodes and the `live_stream_callback` with all. An
episode that spans several takes is put together from what is carried over, up to a
bound; one that outgrows it is on the tape, where a viewer finds it.

While nobody looks, what passes by is put off: noted as it is, and gone through by whoever asks
the live queue for something. Beside a network, whose training leaves nothing of ours in the caches,
that is a tenth of the time.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from recorder.codec import INCOMPLETE, TERMINATED, TRUNCATED
from recorder.episode import Episode
from recorder.layout import Layout
from recorder.livequeue import LiveQueue, size_of_steps
from recorder.marks import MARK_FIELDS, Mark, Marks, finals_of
from recorder.packing import unpack
from recorder.spaces import gather
from recorder.values import Spec, spec_for

CALLBACK_BYTES = 64 << 20

Array = np.ndarray[Any, Any]
Columns = dict[str, Array]

log = logging.getLogger(__name__)


class Piece:
    """Rows `[start, stop)` of a take, made into columns once somebody wants them.

    Args:
        specs: of the columns.
        parts: the columns as `Packer.take` returned them; held until then.
        start: see above.
        stop: see above.
    """

    def __init__(self, specs: Sequence[Spec], parts: Sequence[Any], start: int, stop: int) -> None:
        self._specs = specs
        self._parts = parts
        self._start, self._stop = start, stop
        self._columns: Columns | None = None

    def __len__(self) -> int:
        return self._stop - self._start

    def columns(self) -> Columns:
        """Return the rows, which hold on to nothing else of the take."""
        parts, columns = self._parts, self._columns  # in this order: any thread may ask
        if columns is None:
            columns = self._columns = {
                spec.column.name: spec.piece(part, self._start, self._stop)
                for spec, part in zip(self._specs, parts, strict=True)
            }
            self._parts = ()
        return columns


class Showcase:
    """Builds episodes for the live queue and the callback.

    Args:
        layout: the run's.
        live: gets the newest; what was never built for it is counted as dropped.
        callback: gets every episode.
        episode: number of the first.
        first_step: its global step.
    """

    def __init__(
        self,
        layout: Layout,
        live: LiveQueue,
        callback: Callable[[Episode], None] | None = None,
        episode: int = 0,
        first_step: int = 0,
    ) -> None:
        self._layout = layout
        self._specs = [spec_for(column) for column in layout.steps]
        self._live = live
        self._callback = callback
        # Built only when somebody looks, where what they will weigh is known before.
        self._lazily = callback is None and not any(column.packed for column in layout.steps)
        self._each = layout.bytes_per_step
        self._base = first_step
        self._next = episode
        self._start = 0  # position of the running episode's step 0
        limit = CALLBACK_BYTES if callback else live.max_bytes
        self._carry_limit = limit // max(1, layout.bytes_per_step)
        self._carried: list[Piece] = []
        self._carried_steps = 0
        # What was put off, and bytes of it; both are the live queue's `asking` to guard.
        self._waiting: deque[tuple[Sequence[Any], Marks, int, int, bool, int]] = deque()
        self._waiting_bytes = 0
        self._catching_up = False
        live.ask(self._catch_up)

    @property
    def is_watched(self) -> bool:
        """Whether anybody waits for each episode."""
        return self._callback is not None or self._live.is_watched

    @property
    def is_awaited(self) -> bool:
        """The same, who asks for them now and then included."""
        return self._callback is not None or self._live.is_awaited

    def add(
        self,
        parts: Sequence[Any],
        marks: Marks,
        first: int,
        count: int,
        more: bool = False,
    ) -> None:
        """Show the episodes that end in a take; carry what goes on behind it.

        Args:
            parts: the columns as `Packer.take` returned them.
            marks: the ends within them.
            first: position of the first row.
            count: rows.
            more: newer episodes follow at once, and will take the place of these.
        """
        live = self._live
        with live.asking:
            ended = len(marks)
            if self._lazily and not live.is_watched:
                shown = min(ended, live.max_episodes)
                size = sum(map(len, parts)) + size_of_steps(shown, self._each, 1 + shown)
                if not self._has_room(size):
                    self._catch_up(ended)
                if self._has_room(size):
                    self._waiting.append((parts, marks, first, count, more, size))
                    self._waiting_bytes += size
                    return
            self._catch_up(ended)
        self._pass(parts, marks, first, count, more)

    def _has_room(self, size: int) -> bool:
        """Whether as much more can be put off."""
        return self._live.held_bytes + self._waiting_bytes + size <= self._live.max_bytes

    def _catch_up(self, behind: int = 0) -> None:
        """Go through what was put off; `asking` is held.

        Args:
            behind: episodes that come next, and take the place of older ones.
        """
        if self._catching_up:  # by a signal's handler, in the midst of it
            return
        self._catching_up = True
        try:
            left = behind + sum(len(marks) for _, marks, *_ in self._waiting)
            while self._waiting:
                parts, marks, first, count, more, size = self._waiting[0]
                left -= len(marks)
                try:
                    more = more or left >= self._live.max_episodes
                    self._pass(parts, marks, first, count, more)
                finally:
                    self._waiting.popleft()
                    self._waiting_bytes -= size
        finally:
            self._catching_up = False

    def _pass(self, parts: Sequence[Any], marks: Marks, first: int, count: int, more: bool) -> None:
        """Go through a take, whatever happens to what is shown of it."""
        behind = self._next + len(marks)
        try:
            self._go_through(parts, marks, first, count, more)
        except BaseException as error:  # an interrupt of whoever asks, too
            # Nothing that follows may have a wrong number, or be shown in part.
            self._live.skip(behind - self._next)
            self._next = behind
            self._start = marks.position(-1) if marks else self._start
            self._carried, self._carried_steps = [], self._carry_limit + 1
            if not isinstance(error, Exception):
                raise
            log.exception("an episode could not be shown; recording goes on")

    def _go_through(
        self, parts: Sequence[Any], marks: Marks, first: int, count: int, more: bool
    ) -> None:
        shown = 0 if more else self._live.max_episodes
        skipped = 0 if self._callback else max(0, len(marks) - shown)
        if skipped:
            self._live.skip(skipped)
            self._start = marks.position(skipped - 1)
            self._next += skipped
        if len(marks) > skipped:
            low, high = max(0, self._start - first), marks.position(-1) - first
            recent = self._piece(parts, low, high, count)
            # What is held is this piece, all of it until the last episode is let go.
            bounded = (high - low) * self._each <= self._live.max_bytes
            for mark in marks[skipped:]:
                self._show(recent, mark, first + low, bounded)
                self._start = mark[0]
                self._next += 1
        if marks:
            self._carried, self._carried_steps = [], 0
        self._carry(parts, self._start - first if marks else 0, count, more)

    def _piece(self, parts: Sequence[Any], start: int, stop: int, count: int) -> Piece:
        """Some rows of a take of `count`."""
        piece = Piece(self._specs, parts, start, stop)
        # A block's memory is wanted back; and of what is held most is to be the piece.
        if not isinstance(parts[0], bytes) or 2 * (stop - start) < count:
            piece.columns()
        return piece

    def _show(self, recent: Piece, mark: Mark, first: int, bounded: bool) -> None:
        low, high = self._start - first, mark[0] - first
        pieces = [(recent, max(low, 0), high)]
        if low < 0:
            if self._carried_steps != -low or not self._carried:  # it outgrew the bound
                self._live.skip(1)
                log.info("episode %d is too long to show at once; it is on the tape", self._next)
                return
            pieces = [*((piece, 0, len(piece)) for piece in self._carried), *pieces]
        number, start = self._next, self._start
        if self._lazily:
            size = size_of_steps(mark[0] - start, self._each)
            rows: Callable[[], Columns] = partial(_joined, pieces)
            if not bounded:  # what is not copied now would hold the piece, which is too much
                rows = partial(dict, rows())
            self._live.offer(lambda: self._build(rows(), mark, number, start), size)
            return
        episode = self._build(_joined(pieces), mark, number, start)
        if self._callback is not None:
            try:
                self._callback(episode)
            except Exception:
                log.exception("live_stream_callback failed; recording goes on")
        self._live.put(episode)

    def _carry(self, parts: Sequence[Any], start: int, count: int, more: bool) -> None:
        if start >= count:
            return
        self._carried_steps += count - start
        if self._carried_steps > self._carry_limit:
            self._carried = []  # the count goes on, so that it is never shown in part
        elif more:  # nobody will want it, as a rule, and it is let go at once
            self._carried.append(Piece(self._specs, parts, start, count))
        else:
            self._carried.append(self._piece(parts, start, count, count))

    def _build(self, columns: Columns, mark: Mark, number: int, start: int) -> Episode:
        layout = self._layout
        count = len(columns["reward"])
        facts = dict(zip(MARK_FIELDS, mark, strict=True))
        observations = gather(layout.observation_space, "observation", columns, count)
        if facts["final"] is not None:
            finals = finals_of(layout, [facts["final"]])
            last = gather(layout.observation_space, "final_observation", finals, 1)
            observations = np.concatenate([observations, last])
        return Episode(
            observations=observations,
            actions=gather(layout.action_space, "action", columns, count),
            rewards=columns["reward"],
            terminated=bool(facts["flags"] & TERMINATED),
            truncated=bool(facts["flags"] & TRUNCATED),
            incomplete=bool(facts["flags"] & INCOMPLETE),
            channels={channel.name: columns[channel.name] for channel in layout.channels},
            episode=number,
            first_step=self._base + start,
            infos=[unpack(data) for data in columns["info"]] if layout.infos else None,
            **{
                name: facts[name]
                for name in ("epsilon", "seed", "stage", "started_at", "duration_s", "tags")
            },
        )


def _joined(pieces: Sequence[tuple[Piece, int, int]]) -> Columns:
    """Some rows of each of several pieces, copied."""
    parts = [(piece.columns(), low, high) for piece, low, high in pieces]
    names = parts[0][0]
    return {name: np.concatenate([c[name][low:high] for c, low, high in parts]) for name in names}
