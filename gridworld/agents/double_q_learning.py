"""Double Q-learning: two tables, so that the best is not overrated.

Van Hasselt, *Double Q-learning*, NeurIPS 2010; as in Sutton and Barto, *Reinforcement
Learning: An Introduction*, 2nd ed. 2018, section 6.7.
"""

from __future__ import annotations

from collections.abc import Sequence

from gridworld.agents.table import TabularAgent


class DoubleQLearningAgent(TabularAgent):
    """A coin decides which table learns; it chooses the action, the other one values it.

    `q_values` is the mean of the two: what actions are chosen on, and what is recorded and
    saved. A table that is loaded becomes both.
    """

    algorithm = "double-q-learning"
    visited_only = True

    def _prepare(self) -> None:
        self.tables = [row.copy() for row in self.q_values], [row.copy() for row in self.q_values]
        self._first, self._second = map(self.by_observation, self.tables)

    def update(
        self,
        observation: int,
        action: int,
        reward: float,
        next_observation: int,
        terminated: bool,
    ) -> None:
        """QA(s, a) += alpha (r + gamma QB(s', argmax QA(s', .)) - QA(s, a)), or B and A."""
        learns, values = self._first, self._second
        if self._random() < 0.5:
            learns, values = values, learns
        row = learns[observation]
        index = action - self.first_action
        if not terminated:
            next_row = learns[next_observation]
            best = next_row.index(max(next_row))
            reward += self.discount * values[next_observation][best]
        row[index] += self.learning_rate * (reward - row[index])
        self._rows[observation][index] = (row[index] + values[observation][index]) / 2

    def load(self, table: Sequence[Sequence[float]]) -> None:
        """Put a table in as both."""
        super().load(table)
        for own in self.tables:
            for row, new in zip(own, self.q_values, strict=True):
                row[:] = new
