"""n-step SARSA: let a reward teach the last n steps at once.

Sutton and Barto, *Reinforcement Learning: An Introduction*, 2nd ed. 2018, section 7.2.
"""

from __future__ import annotations

from collections import deque

from gridworld.agents.table import OnPolicyAgent


class NStepSarsaAgent(OnPolicyAgent):
    """Q(s, a) += alpha (r1 + gamma r2 + ... + gamma^n Q(s_n, a_n) - Q(s, a)), n steps later.

    At the end of an episode the last steps learn from what rewards there were; where it was
    truncated, from the value of where it stood too.
    """

    algorithm = "n-step-sarsa"
    own_parameters = ("n_steps",)

    def _prepare(self) -> None:
        super()._prepare()
        # The steps that have not learned yet: row, index, reward. Oldest first.
        self._steps: deque[tuple[list[float], int, float]] = deque()
        self._value_after = 0.0

    def update(
        self,
        observation: int,
        action: int,
        reward: float,
        next_observation: int,
        terminated: bool,
    ) -> None:
        """Keep the step, and teach the one that was n steps ago."""
        index = action - self.first_action
        self._steps.append((self._rows[observation], index, reward))
        if terminated:
            self._value_after = 0.0
            self._teach_all()
            return
        next_action, _, next_row = self._draw_next(next_observation)
        self._value_after = next_row[next_action - self.first_action]
        if len(self._steps) == self.config.n_steps:
            self._teach_oldest()

    def drop_episode(self) -> None:
        """Forget the steps that have not learned yet."""
        super().drop_episode()
        self._steps.clear()

    def end_episode(self) -> None:
        """The last steps of an episode that was truncated learn now."""
        self._teach_all()
        super().end_episode()

    def _teach_all(self) -> None:
        while self._steps:
            self._teach_oldest()

    def _teach_oldest(self) -> None:
        target = self._value_after
        for _, _, reward in reversed(self._steps):
            target = reward + self.discount * target
        row, index, _ = self._steps.popleft()
        row[index] += self.learning_rate * (target - row[index])
