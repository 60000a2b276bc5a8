"""The Q-table at any step of a run, from keyframes and the rows that steps recorded.

`q_values[t]` is the table's row of `observation[t]` when `action[t]` was chosen. In
one-step methods (`Keyframe.visited_only`) a row changes only by a step taken from its
state, so between a moment and the next visit of a state its row stays what that visit
recorded. The table at step `g` is therefore the *next* keyframe, its rows replaced by
those of the first visits from `g` up to it: exact, to the last bit.

It is not exact, and says so row by row, where that next keyframe is missing (the newest
steps of a run that records, a recorder that died), where steps in between were not kept
or lost, and for methods that change rows of other states (traces, n-step). Then the
rows are the nearest that is known: of the next visit, of the last one, of a keyframe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from recorder import codec
from recorder.codec import Array, Segment
from recorder.counting import Counts
from recorder.errors import DamagedTape, NoQTable
from recorder.keyframes import KEYFRAME_COLUMNS, REPLACED, Keyframe, of_row
from recorder.layout import Layout
from recorder.pruning import unblanked

NAME = "q_values"
SCAN_STEPS = 1 << 18  # read at most on either side
MOST_STATES = 1 << 20
_SAMPLED = 12  # keyframes that a range is taken from
_CHUNK = 1 << 14

Rows = Callable[..., list[Any]]


@dataclass(frozen=True)
class QTable:
    """A Q-table as it was before a step.

    Attributes:
        values: `(states, actions)`, row `i` for observation `start + i`; NaN where nothing is
            known of a state.
        exact: `(states,)`, whether the row is the agent's own to the last bit (as far as the
            channel's dtype holds it).
        visits: `(states,)`, steps taken from each state before, as far as they were kept.
        step: the global step: the table learned from the steps before it.
        start: the first observation.
    """

    values: Array
    exact: Array
    visits: Array
    step: int
    start: int


@dataclass(frozen=True)
class QRange:
    """What a colour scale over the whole run has to cover.

    Attributes:
        low: 1st percentile of all Q-values of states that were visited.
        high: 99th percentile.
        value_low: the same of the states' values, `max Q`.
        value_high: the same.
        visits: most visits of a state.
        step: the step up to which the run was looked at.
    """

    low: float
    high: float
    value_low: float
    value_high: float
    visits: int
    step: int


class QTables:
    """Reads them. The caller holds the run's lock and names its faults.

    Args:
        layout: the run's.
        rows: runs a query.
        covering: the segments that hold global steps `[first, stop)`, in order.
    """

    def __init__(
        self, layout: Layout, rows: Rows, covering: Callable[[int, int], list[Segment]]
    ) -> None:
        channel = next((c for c in layout.channels if c.name == NAME), None)
        space = layout.observation_space
        states = int(space.get("n", 0)) if layout.keyed_by_state else 0
        if channel is None or len(channel.shape) != 1 or not 0 < states <= MOST_STATES:
            raise NoQTable(
                "expected a run of numbered states (a Discrete observation space) with a channel "
                f"{NAME!r} of one row a step, got one without; it has no Q-table"
            )
        self._layout = layout
        self._rows = rows
        self._covering = covering
        self._shape = (states, channel.shape[0])
        self._start = int(space.get("start", 0))
        self._counts = Counts(layout, rows, 0, self._start, states)

    def at(self, step: int, end: int) -> QTable:
        """Return the table before global step `step` of a run of `end` steps."""
        found = self._frame("global_step = ? ORDER BY name DESC", step)
        if found is None:
            values, exact = self._rebuilt(step, end)
        else:
            values, exact = found.values.astype(np.float64), np.ones(self._shape[0], bool)
        return QTable(values, exact, self.visits(step), step, self._start)

    def keyframes(self) -> list[tuple[int, int]]:
        """Return global step and episode of each keyframe, in order."""
        return self._rows(
            "SELECT global_step, max(episode) FROM keyframes WHERE name IN (?, ?) "
            "GROUP BY global_step ORDER BY global_step",
            (NAME, NAME + REPLACED),
        )

    def range(self, end: int) -> QRange:
        """Return the range of the whole run, from keyframes spread over it."""
        steps = [step for step, _ in self.keyframes() if step <= end]
        picked = {*np.linspace(0, len(steps) - 1, _SAMPLED).round().astype(int).tolist()}
        tables = [self.at(steps[index], end) for index in sorted(picked)] if steps else []
        if not steps or steps[-1] < end:
            tables.append(self.at(end, end))
        visits = tables[-1].visits
        known = np.concatenate([table.values[visits > 0] for table in tables])
        known = known[np.isfinite(known).all(axis=1)]
        if not len(known):
            return QRange(0.0, 0.0, 0.0, 0.0, int(visits.max(initial=0)), end)
        low, high = np.percentile(known, (1, 99)).tolist()
        value_low, value_high = np.percentile(known.max(axis=1), (1, 99)).tolist()
        return QRange(low, high, value_low, value_high, int(visits.max(initial=0)), end)

    def visits(self, step: int) -> Array:
        """Return how often each state was left before a step: steps that are on the tape."""
        return self._counts.before(step)

    def _rebuilt(self, step: int, end: int) -> tuple[Array, Array]:
        after = self._frame("name = ? AND global_step > ? ORDER BY global_step", NAME, step)
        broken = self._rows(
            "SELECT min(global_step) FROM keyframes WHERE name = ? AND global_step > ?",
            (NAME + REPLACED, step),
        )[0][0]
        stop = end
        if broken is not None:  # what stands behind it is another table
            stop = broken
            if after is not None and after.global_step > broken:
                after = None
        if after is not None:
            stop = after.global_step
        before = self._frame("global_step <= ? ORDER BY global_step DESC, name DESC", step)
        values = np.full(self._shape, np.nan)
        exact = np.zeros(self._shape[0], bool)
        nearest = after or before
        local = nearest is not None and nearest.visited_only
        seen = np.zeros(self._shape[0], bool)
        reach = min(stop, step + SCAN_STEPS)
        whole_to = step
        for part in self._parts(step, reach):
            states, rows = self._table_rows(part)
            fresh = ~seen[states]
            # Of several visits in a part the first counts: written last.
            values[states[fresh][::-1]] = rows[fresh][::-1]
            seen[states] = True
            whole_to = self._joined(part, whole_to)
            if part.first_step + part.count <= whole_to:
                exact[states] |= local
            if seen.all():
                break
        rest = ~seen
        if after is not None:
            values[rest] = after.values[rest]
            exact[rest] = local and whole_to >= stop
        else:
            self._fill_from_before(step, before, rest, values, exact)
        return values, exact

    def _fill_from_before(
        self, step: int, before: Keyframe | None, rest: Array, values: Array, exact: Array
    ) -> None:
        """Rows not visited any more: those of the last visit, and where none was, a keyframe's."""
        floor = 0 if before is None else before.global_step
        begin = max(floor, step - SCAN_STEPS)
        seen = np.zeros(len(rest), bool)
        latest = np.full(self._shape, np.nan)
        whole_to = begin
        for part in self._parts(begin, step):
            states, rows = self._table_rows(part)
            latest[states] = rows
            seen[states] = True
            whole_to = self._joined(part, whole_to)
        if before is not None:
            untouched = rest & ~seen
            values[untouched] = before.values[untouched]
            exact[untouched] = before.visited_only and whole_to >= step and begin == floor
        values[rest & seen] = latest[rest & seen]

    @staticmethod
    def _joined(part: Segment, reached: int) -> int:
        """How far all steps are there, given how far they were before a part."""
        return max(reached, part.first_step + part.count) if part.first_step <= reached else reached

    def _parts(self, first: int, stop: int) -> Iterator[Segment]:
        for at in range(first, stop, _CHUNK):
            high = min(at + _CHUNK, stop)
            for segment in self._covering(at, high):
                for part in unblanked(segment):
                    cut = self._cut(part, at, high)
                    if cut.count:
                        yield cut

    @staticmethod
    def _cut(part: Segment, first: int, stop: int) -> Segment:
        low = max(0, first - part.first_step)
        high = max(low, min(part.count, stop - part.first_step))
        return codec.cut(part, low, high)

    def _table_rows(self, part: Segment) -> tuple[Array, Array]:
        states = part.columns["observation"] - self._start
        rows = part.columns[NAME]
        sound = (states >= 0) & (states < self._shape[0])
        return (states, rows) if sound.all() else (states[sound], rows[sound])

    def _frame(self, condition: str, *values: Any) -> Keyframe | None:
        names = ", ".join(KEYFRAME_COLUMNS)
        found = self._rows(
            f"SELECT {names} FROM keyframes WHERE name IN ('{NAME}', '{NAME + REPLACED}') "
            f"AND {condition} LIMIT 1",
            values,
        )
        if not found:
            return None
        keyframe = of_row(found[0])
        if keyframe.values.shape != self._shape:
            raise DamagedTape(
                f"expected a Q-table of {self._shape[0]} states and {self._shape[1]} actions at "
                f"step {keyframe.global_step:,}, got one of shape {keyframe.values.shape}"
            )
        return keyframe
