"""Q-learning: learn the value of acting greedily, whatever is done to explore.

Watkins, *Learning from Delayed Rewards*, PhD thesis, Cambridge 1989; as in Sutton
and Barto, *Reinforcement Learning: An Introduction*, 2nd ed. 2018, section 6.5.
"""

from __future__ import annotations

from gridworld.agents.table import TabularAgent


class QLearningAgent(TabularAgent):
    """Q(s, a) += alpha (r + gamma max Q(s', .) - Q(s, a))."""

    algorithm = "q-learning"
    visited_only = True

    def update(
        self,
        observation: int,
        action: int,
        reward: float,
        next_observation: int,
        terminated: bool,
    ) -> None:
        """Move towards the reward and the best that can follow it."""
        row = self._rows[observation]
        index = action - self.first_action
        if not terminated:
            reward += self.discount * max(self._rows[next_observation])
        row[index] += self.learning_rate * (reward - row[index])
