"""When the training loop hands its whole Q-table to the recorder, so that it can be had at
any step of the run (`Run.q_table`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recorder import EpisodeRecorder

STEPS = 16_384
STEPS_PER_ENTRY = 16


class Keyframes:
    """Stores the table of an agent as training begins, and whenever it is `due`.

    An entry costs the loop some 50 ns, so one in `STEPS_PER_ENTRY` steps is less than a
    hundredth of the fastest step; and half a byte of tape a step at most.

    Args:
        recorder: takes the tables.
        agent: has `q_values`, or else nothing is stored; `visited_only`, where it says so,
            tells that learning changes a row only by a step from its state.

    Attributes:
        due: steps of this training at which the next is worth storing.
    """

    def __init__(self, recorder: EpisodeRecorder, agent: Any) -> None:
        self._recorder = recorder
        self._agent = agent
        table = getattr(agent, "q_values", None)
        self.due = float("inf")
        if table is not None and len(table):
            self._every = max(STEPS, STEPS_PER_ENTRY * len(table) * len(table[0]))
            self.store(0, replaced=True)

    def store(self, steps: int, replaced: bool = False) -> None:
        """Store the table as it is now.

        Args:
            steps: taken in this training so far.
            replaced: another table was put in its place (see `EpisodeRecorder.keyframe`).
        """
        table = getattr(self._agent, "q_values", None)
        if table is None or not len(table):
            return
        self._recorder.keyframe(
            table, replaced=replaced, visited_only=getattr(self._agent, "visited_only", False)
        )
        self.due = steps + self._every
