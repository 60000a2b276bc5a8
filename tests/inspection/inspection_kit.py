"""A small run, recorded the same way each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from recorder import Channel, EpisodeRecorder

REWARDS = [
    [0.0, 0.0, 0.0, -5.0],
    [0.0, 1.0],
    [1.0, 1.0, 1.0],
    [0.0, 0.0, -1.0],
    [2.0],
    [0.0] * 9 + [1.0],
]
STAGES = ["a", "a", "a", "b", "b", None]


def record(runs_dir: Path, run_id: str, seed: int = 0, **options: Any) -> Path:
    """Episodes of `REWARDS` on nine states, with Q-values that follow from step and seed."""
    with EpisodeRecorder(
        runs_dir,
        run_id=run_id,
        observation_space=spaces.Discrete(9),
        action_space=spaces.Discrete(4),
        channels=[Channel("q_values", "float64", (4,)), Channel("explored", "bool")],
        algorithm="q-learning",
        seed=seed,
        **{"hyperparameters": {"discount": 0.9}, **options},
    ) as recorder:
        for number, rewards in enumerate(REWARDS):
            for step, reward in enumerate(rewards):
                recorder.record_step(
                    step % 9,
                    (step + seed) % 4,
                    reward,
                    q_values=np.arange(4.0) + step + seed,
                    explored=step % 2 == 0,
                )
            recorder.finish_episode(
                len(rewards) % 9,
                terminated=number != 3,
                truncated=number == 3,
                stage=STAGES[number],
                epsilon=1.0 / (number + 1),
            )
    return runs_dir / run_id
