"""A bound on a run's file: which episodes give up their steps when it grows too large.

In this order, the oldest first within each: episodes kept for no reason of their own,
episodes that a policy kept for a reason, episodes that it has not decided on, and last the
first episode and the one of the best return. Never the one that runs. Oldest first takes
whole segments off; thinning out between short episodes would free next to nothing.
Summaries always stay.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from recorder.pruning import BY_QUOTA, Decision
from recorder.segments import MAX_STEP
from recorder.tape import Tape

BATCH = 4096
FREE_TO = 0.9  # of the quota, so that not every commit has to free a little
RETRY_AT = 1.02  # times the size at which nothing was left to take
GIVE_BACK_BYTES = 4 << 20  # at a time

log = logging.getLogger(__name__)


class Quota:
    """Chooses whose steps go.

    The file stays below the quota but for what one commit adds. The WAL beside it, 4 MB as
    a rule, which SQLite removes when the run ends, is not counted.

    Args:
        most: bytes.
        tape: the run's.

    Attributes:
        exceeded: whether the last commit passed it, and something can still go.
    """

    def __init__(self, most: int, tape: Tape) -> None:
        self.exceeded = False
        self._most = most
        self._tape = tape
        self._growth = 0  # most bytes that the file grew by from one commit to the next
        self._last = 0
        self._futile_until = 0

    def victims(self, settled: int | None) -> list[Decision]:
        """Return the episodes whose steps have to go for the next commit to fit.

        Args:
            settled: episodes up to this global step are decided by a policy; None: all.
        """
        space = self._tape.space()
        if self._last:
            self._growth = max(self._growth, space.in_use - self._last)
        self._last = space.in_use
        reserve = min(self._growth, self._most // 4)
        if space.in_use + reserve <= self._most or space.in_use < self._futile_until:
            return []
        found = self._choose(space.in_use - int((self._most - reserve) * FREE_TO), settled)
        if not found:
            if not self._futile_until:
                log.warning(
                    "the quota of %d bytes is too small for the run's summaries and the episode "
                    "that runs; it cannot be met",
                    self._most,
                )
            self._futile_until = int(space.in_use * RETRY_AT)
        return found

    def look(self) -> None:
        """See what a commit came to; shorten a file that is larger than the quota."""
        space = self._tape.space()
        self.exceeded = space.in_use > max(self._most, self._futile_until)
        if space.file > self._most and space.in_use < space.file:
            self._tape.give_back(GIVE_BACK_BYTES)

    def _choose(self, need: float, settled: int | None) -> list[Decision]:
        closed = self._tape.segments.closed_until
        decided = closed if settled is None else min(closed, settled)
        protected = self._protected()
        spared = f"episode NOT IN ({', '.join(map(str, protected)) or '-1'})"
        found: list[Decision] = []
        for where, until in (
            (f"reason IS NULL AND {spared}", decided),
            (f"reason IS NOT NULL AND {spared}", decided),
            (spared, closed),
            (f"NOT {spared}", closed),
        ):
            need -= self._take(where, until, need, found)
            if need <= 0:
                break
        return found

    def _protected(self) -> list[int]:
        kept = "FROM episodes WHERE kept = 1 AND running = 0"
        rows = self._tape.select(f"SELECT min(episode) {kept}") + self._tape.select(
            f"SELECT episode {kept} ORDER BY episode_return DESC, episode LIMIT 1"
        )
        return [episode for (episode,) in rows if episode is not None]

    def _take(self, where: str, until: int, need: float, found: list[Decision]) -> float:
        """Choose among some episodes, oldest first; return about how many bytes they free."""
        chosen = {decision.episode for decision in found}
        last, freed = -1, 0.0
        while freed < need:
            rows = self._tape.select(
                "SELECT episode, first_step, first_step + length FROM episodes "
                "WHERE kept = 1 AND running = 0 AND episode > ? AND first_step + length <= ? "
                f"AND {where} ORDER BY episode LIMIT {BATCH}",
                (last, min(until, MAX_STEP)),
            )
            if not rows:
                break
            last = rows[-1][0]
            for row, size in zip(rows, self._sizes(rows), strict=True):
                if freed >= need:
                    break
                if row[0] not in chosen:
                    found.append(Decision(row[0], row[1], row[2], False, BY_QUOTA))
                    freed += size
        return freed

    def _sizes(self, rows: list[Any]) -> list[float]:
        """About how many bytes each of these episodes takes.

        A segment's bytes are shared out among the kept steps in it: rows blanked before
        take next to none.
        """
        first, stop = rows[0][1], rows[-1][2]
        segments = self._tape.select(
            "SELECT first_step, first_step + count, length(blob) FROM segments "
            "WHERE first_step < ? AND first_step >= coalesce("
            "(SELECT max(first_step) FROM segments WHERE first_step <= ?), 0) ORDER BY first_step",
            (stop, first),
        )
        kept = self._tape.select(
            "SELECT first_step, first_step + length FROM episodes "
            "WHERE kept = 1 AND episode BETWEEN ? AND ? ORDER BY episode",
            (rows[0][0], rows[-1][0]),
        )
        if not segments:
            return [0.0] * len(rows)
        places = np.array(segments, dtype=np.float64)
        steps = np.array(kept, dtype=np.float64)
        kept_to = _rising(steps, steps[:, 1] - steps[:, 0])
        inside = kept_to(places[:, 1]) - kept_to(places[:, 0])
        density = places[:, 2] / np.maximum(inside, 1)
        bytes_to = _rising(places, density * (places[:, 1] - places[:, 0]))
        bounds = np.array([row[1:] for row in rows], dtype=np.float64)
        sizes: list[float] = (bytes_to(bounds[:, 1]) - bytes_to(bounds[:, 0])).tolist()
        return sizes


def _rising(intervals: Any, amounts: Any) -> Any:
    """Return the sum of amounts up to a step, each spread evenly over its interval."""
    knots = intervals[:, :2].reshape(-1)
    totals = np.cumsum(np.stack([np.zeros(len(amounts)), amounts], axis=1).reshape(-1))
    return lambda steps: np.interp(steps, knots, totals)
