"""Watkins's Q(lambda): a step teaches all those before it, the further back the less.

Watkins, *Learning from Delayed Rewards*, PhD thesis, Cambridge 1989; as in Sutton and Barto,
*Reinforcement Learning: An Introduction*, 2nd ed. 2018, section 12.10 (here with replacing
traces).
"""

from __future__ import annotations

from gridworld.agents.table import TabularAgent

FAINTEST = 1e-4
"""A trace below this teaches next to nothing and is dropped."""


class QLambdaAgent(TabularAgent):
    """Q(x, b) += alpha delta e(x, b) for all x, b, delta = r + gamma max Q(s', .) - Q(s, a).

    The trace e of the step at hand is 1 and fades by gamma lambda with each step. An action
    that is not a best one cuts all traces: what came after it was not greedy.
    """

    algorithm = "q-lambda"
    own_parameters = ("trace_decay",)

    def _prepare(self) -> None:
        self._traces: dict[tuple[int, int], float] = {}

    def update(
        self,
        observation: int,
        action: int,
        reward: float,
        next_observation: int,
        terminated: bool,
    ) -> None:
        """Move all that led here by what this step had not been expected to bring."""
        rows, traces = self._rows, self._traces
        row = rows[observation]
        index = action - self.first_action
        if row[index] < max(row):
            traces.clear()
        if not terminated:
            reward += self.discount * max(rows[next_observation])
        change = self.learning_rate * (reward - row[index])
        fade = self.discount * self.config.trace_decay
        traces[observation, index] = 1.0
        faint = []
        for place, trace in traces.items():
            rows[place[0]][place[1]] += change * trace
            traces[place] = trace = trace * fade
            if trace < FAINTEST:
                faint.append(place)
        for place in faint:
            del traces[place]

    def drop_episode(self) -> None:
        """Forget what led here."""
        self._traces.clear()

    def end_episode(self) -> None:
        """What comes next was not led to by this episode."""
        self._traces.clear()
        super().end_episode()
