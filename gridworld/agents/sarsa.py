"""SARSA: learn the value of what is really done, exploration included.

Rummery and Niranjan, *On-line Q-learning using connectionist systems*, Cambridge 1994; as
in Sutton and Barto, *Reinforcement Learning: An Introduction*, 2nd ed. 2018, section 6.4.
"""

from __future__ import annotations

from gridworld.agents.table import OnPolicyAgent


class SarsaAgent(OnPolicyAgent):
    """Q(s, a) += alpha (r + gamma Q(s', a') - Q(s, a)), where a' is taken next."""

    algorithm = "sarsa"
    visited_only = True

    def update(
        self,
        observation: int,
        action: int,
        reward: float,
        next_observation: int,
        terminated: bool,
    ) -> None:
        """Draw the next action, and move towards the reward and that action's value."""
        row = self._rows[observation]
        index = action - self.first_action
        if not terminated:
            next_action, _, next_row = self._draw_next(next_observation)
            reward += self.discount * next_row[next_action - self.first_action]
        row[index] += self.learning_rate * (reward - row[index])
