"""The loops that recording is measured on."""

from __future__ import annotations

import random
from collections.abc import Callable

SIZE = 8
GOAL = SIZE * SIZE - 1
LIMIT = 200

Step = Callable[..., object]


def bare_loop(episodes: int, record: Step | None = None, finish: Step | None = None) -> int:
    """Tabular Q-learning on an open 8x8 grid with nothing around it: no environment
    object, no agent object. About as fast as Python trains, so the hardest to record.

    Args:
        episodes: how many.
        record: `record(observation, action, reward, q_values=, explored=)`.
        finish: `finish(observation, terminated=, truncated=, epsilon=)`.

    Returns:
        Steps taken.
    """
    rnd = random.Random(0).random
    table = [[0.0] * 4 for _ in range(SIZE * SIZE)]
    alpha, gamma, epsilon = 0.1, 0.99, 1.0
    steps = 0
    for _ in range(episodes):
        state, length = 0, 0
        while True:
            row = table[state]
            explored = rnd() < epsilon
            action = int(rnd() * 4) if explored else row.index(max(row))
            y, x = divmod(state, SIZE)
            if action == 0:
                y = max(0, y - 1)
            elif action == 1:
                x = min(SIZE - 1, x + 1)
            elif action == 2:
                y = min(SIZE - 1, y + 1)
            else:
                x = max(0, x - 1)
            following = y * SIZE + x
            terminated = following == GOAL
            reward = 1.0 if terminated else -0.01
            if record is not None:
                record(state, action, reward, q_values=row, explored=explored)
            target = reward if terminated else reward + gamma * max(table[following])
            row[action] += alpha * (target - row[action])
            state = following
            length += 1
            if terminated or length >= LIMIT:
                break
        steps += length
        if finish is not None:
            finish(state, terminated=terminated, truncated=not terminated, epsilon=epsilon)
        epsilon = max(0.05, epsilon * 0.995)
    return steps
