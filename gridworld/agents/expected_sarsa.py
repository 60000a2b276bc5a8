"""Expected SARSA: SARSA without the chance of which action comes next.

Van Seijen et al., *A theoretical and empirical analysis of Expected Sarsa*, ADPRL 2009; as
in Sutton and Barto, *Reinforcement Learning: An Introduction*, 2nd ed. 2018, section 6.6.
"""

from __future__ import annotations

from gridworld.agents.exploration import epsilon_greedy_chances, softmax_chances
from gridworld.agents.table import TabularAgent


class ExpectedSarsaAgent(TabularAgent):
    """Q(s, a) += alpha (r + gamma E[Q(s', .)] - Q(s, a)), the mean over the policy."""

    algorithm = "expected-sarsa"
    visited_only = True

    def update(
        self,
        observation: int,
        action: int,
        reward: float,
        next_observation: int,
        terminated: bool,
    ) -> None:
        """Move towards the reward and the mean value of what may follow it."""
        row = self._rows[observation]
        index = action - self.first_action
        if not terminated:
            next_row = self._rows[next_observation]
            if self.config.exploration == "softmax":
                chances = softmax_chances(next_row, self.temperature * self.epsilon)
            else:
                chances = epsilon_greedy_chances(next_row, self.epsilon)
            expected = sum(map(float.__mul__, chances, next_row))
            reward += self.discount * expected
        row[index] += self.learning_rate * (reward - row[index])
