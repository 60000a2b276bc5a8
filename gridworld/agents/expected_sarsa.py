"""Expected SARSA: SARSA without the chance of which action comes next.

Van Seijen et al., *A theoretical and empirical analysis of Expected Sarsa*, ADPRL 2009; as
in Sutton and Barto, *Reinforcement Learning: An Introduction*, 2nd ed. 2018, section 6.6.
"""

from __future__ import annotations

from gridworld.agents.exploration import softmax_chances
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
            reward += self.discount * self._expected(self._rows[next_observation])
        row[index] += self.learning_rate * (reward - row[index])

    def _expected(self, row: list[float]) -> float:
        """The mean of a row over what may be done."""
        if self.config.exploration == "softmax":
            chances = softmax_chances(row, self.temperature * self.epsilon)
            return sum(map(float.__mul__, chances, row))
        # The best ones share what is not left to chance, however many they are.
        return (1 - self.epsilon) * max(row) + self.epsilon * sum(row) / len(row)
