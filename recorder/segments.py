"""Table `segments`: what is written with a commit, what stays open, what is taken off.

The last segment stays open: it is written again, longer, with each commit until it is
worth closing, so that a slow run does not end as thousands of tiny segments, and what is
recorded can be seen at once. Steps that a policy or a quota decided against leave the
open segment with the next commit, and a closed one once all its episodes are decided.
"""

from __future__ import annotations

import logging
import math
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from recorder import codec
from recorder.assemble import Piece
from recorder.codec import Segment
from recorder.errors import DamagedTape
from recorder.layout import Layout
from recorder.pruning import Gone, Ruling, return_at, without

SEGMENT_STEPS = 16384
SEGMENT_BYTES = 4 << 20
CLOSE_AT = 0.25  # part of a full segment from which one is closed
SEGMENT_COLUMNS = ("first_step", "count", "return_before", "codec", "checksum", "blob")
MAX_STEP = 1 << 62

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What a commit does to the table.

    Attributes:
        segments: to be written, each with the return before it.
        open: the one that stays open, all its steps in it; None if none does.
        open_return: the return before it.
        first_step: where the steps that are written begin; None if none are.
        gone: steps that are to leave the tape, or have left the open segment.
        settled: the episodes up to this step are decided; None: all are.
    """

    segments: list[tuple[Segment, float]]
    open: Segment | None
    open_return: float
    first_step: int | None
    gone: Gone
    settled: int | None


class Segments:
    """Writes the table. The transaction is the caller's.

    Args:
        layout: the run's.
        execute: runs a statement.
        write_rows: inserts or replaces rows: table, columns, rows.

    Attributes:
        full: most steps in a segment.
        pruned: whether anything was taken off.
    """

    def __init__(
        self,
        layout: Layout,
        execute: Callable[..., sqlite3.Cursor],
        write_rows: Callable[[str, Sequence[str], Sequence[Any]], None],
    ) -> None:
        self._layout = layout
        self._execute = execute
        self._write_rows = write_rows
        size = max(1, layout.bytes_per_step)
        self.full = max(1, min(SEGMENT_STEPS, SEGMENT_BYTES // size))
        self.pruned = False
        self._now = Plan([], None, 0.0, None, Gone(), None)

    @property
    def closed_until(self) -> int:
        """First global step that is not in a closed segment, or far behind the last."""
        return self._now.open.first_step if self._now.open is not None else MAX_STEP

    def take_up(self, segment: Segment, return_before: float) -> None:
        """Go on with a segment that is on the tape."""
        self._now = replace(self._now, open=segment, open_return=return_before)

    def plan(
        self, pieces: Sequence[Piece], after_gap: bool = False, ruling: Ruling | None = None
    ) -> Plan:
        """Return what is to be done. See `Tape.commit`."""
        # Behind a gap a new segment begins, even where the steps follow each other: an end
        # between them may be what was lost.
        tail = None if after_gap else self._now.open
        plan = replace(self._now, open=tail, first_step=None)
        if ruling is not None:
            plan = replace(
                plan,
                gone=Gone.of((*plan.gone.intervals, *ruling.gone)),
                settled=plan.settled if ruling.settled is None
                else max(plan.settled or 0, ruling.settled),
            )  # fmt: skip
        parts = [
            piece.segment for piece in pieces if piece.segment.count or len(piece.segment.ends)
        ]
        before = pieces[0].return_before if parts else 0.0
        if tail is not None and (
            tail.first_step + tail.count == parts[0].first_step
            if parts
            else plan.gone != self._now.gone
        ):
            parts, before = [tail, *parts], plan.open_return
        if not parts:
            return plan
        whole = codec.concatenate(parts)
        if not whole.count:  # the end of an episode whose steps were let go
            return plan
        segments, rest = self._divide(whole, before, plan.settled)
        written = [*segments, rest] if rest else segments
        if plan.gone:
            written = [left for segment in written for left in without(*segment, plan.gone)]
        still_open, open_return = rest or (None, 0.0)
        return replace(
            plan,
            segments=written,
            open=still_open,
            open_return=open_return,
            first_step=whole.first_step,
        )

    def _divide(
        self, whole: Segment, before: float, settled: int | None
    ) -> tuple[list[tuple[Segment, float]], tuple[Segment, float] | None]:
        """Return segments to close, and the one that stays open, if one does.

        A segment that is closed ends with an episode's end, or one step before the last
        known: an end told after its last step then always finds a segment to stand in.
        """
        count = whole.count
        ended = bool(len(whole.ends)) and int(whole.ends[-1]) == count
        stop = count if ended else count - 1
        enough = count >= self.full * CLOSE_AT and count >= 2
        if settled is not None and whole.first_step + count - settled <= self.full:
            # While there is room for it, what is not decided waits in the open segment.
            stop = max(0, min(stop, settled - whole.first_step))
            enough = enough and stop >= self.full * CLOSE_AT
        if not enough:
            return [], (whole, before)
        bounds = [*range(0, stop, self.full), stop]
        segments = [
            (codec.cut(whole, start, end), return_at(whole, start, before))
            for start, end in pairwise(bounds)
        ]
        if stop == count:
            return segments, None
        return segments, (codec.cut(whole, stop, count), return_at(whole, stop, before))

    def write(self, plan: Plan) -> Plan:
        """Do it, within a transaction; return the plan to `adopt` once that is committed."""
        if plan.gone:
            self.pruned = True
            plan = replace(plan, gone=self._take_off(plan))
        self._insert(plan.segments)
        return plan

    def adopt(self, plan: Plan) -> None:
        """What was planned is committed."""
        self._now = replace(plan, segments=[])

    def _insert(self, segments: Sequence[tuple[Segment, float]]) -> None:
        rows = [self._row(segment, before) for segment, before in segments]
        self._write_rows("segments", SEGMENT_COLUMNS, rows)

    def _row(self, segment: Segment, return_before: float) -> tuple[Any, ...]:
        blob = codec.encode(self._layout, segment)
        first, count = segment.first_step, segment.count
        check = codec.checksum(first, count, codec.CODEC, blob, return_before)
        return (first, count, return_before, codec.CODEC, check, blob)

    def _take_off(self, plan: Plan) -> Gone:
        """Take what is gone off the table; return what is still to go, or to go again.

        The open segment is kept in memory as it was recorded, so what is gone of it is
        remembered until it is closed.
        """
        if plan.first_step is not None:
            # The open segment is written anew, and what it began with may be gone.
            limit = plan.first_step
            self._execute("DELETE FROM segments WHERE first_step >= ?", (limit,))
        else:
            limit = plan.open.first_step if plan.open else MAX_STEP
        at, waits = 0, MAX_STEP
        while (step := plan.gone.next(at)) is not None:
            place = self._place_of(step, limit)
            if place is None:
                break
            first, at = place
            if plan.settled is not None and at > plan.settled:
                waits = first
                break
            if plan.gone.within(first, at):
                self._rewrite(first, at, plan.gone)
        return plan.gone.after(min(waits, plan.open.first_step if plan.open else MAX_STEP))

    def _place_of(self, step: int, limit: int) -> tuple[int, int] | None:
        """First step and stop of the segment that holds a step, or of the next behind it."""
        for where in (
            "first_step <= ? ORDER BY first_step DESC",
            "first_step > ? ORDER BY first_step",
        ):
            row = self._execute(
                f"SELECT first_step, first_step + count FROM segments WHERE {where} LIMIT 1",
                (step,),
            ).fetchone()
            if row is not None and row[1] > step:
                return (row[0], row[1]) if row[0] < limit else None
        return None

    def _rewrite(self, first: int, stop: int, gone: Gone) -> None:
        left: list[tuple[Segment, float]] = []
        if gone.within(first, stop) != [(first, stop)]:  # else none of it need be read
            row = self._execute(
                f"SELECT {', '.join(SEGMENT_COLUMNS)} FROM segments WHERE first_step = ?", (first,)
            ).fetchone()
            try:
                segment = codec.open_row(self._layout, *row)
            except DamagedTape as error:
                # No reason to stop recording: what it holds is hidden by `kept` anyway.
                log.error("steps that are not kept stay on the tape: %s", error)
                return
            left = without(segment, math.nan if row[2] is None else row[2], gone)
        self._execute("DELETE FROM segments WHERE first_step = ?", (first,))
        self._insert(left)
