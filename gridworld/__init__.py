"""GridWorld, tabular Q-learning and a training loop that a recorder can listen to.

Importing this package registers `GridWorld-v0` with Gymnasium.
"""

from gridworld.config import PRESETS, GridWorldConfig
from gridworld.env import ENV_ID, GridWorldEnv, register
from gridworld.errors import (
    GridWorldError,
    InvalidGrid,
    InvalidHyperparameter,
    UnknownEnvironment,
    UnsupportedSpace,
)
from gridworld.loop import EpisodeResult, TrainingResult, train
from gridworld.presentation import presentation_of
from gridworld.q_learning import QLearningAgent, QLearningConfig

__all__ = [
    "ENV_ID",
    "PRESETS",
    "EpisodeResult",
    "GridWorldConfig",
    "GridWorldEnv",
    "GridWorldError",
    "InvalidGrid",
    "InvalidHyperparameter",
    "QLearningAgent",
    "QLearningConfig",
    "TrainingResult",
    "UnknownEnvironment",
    "UnsupportedSpace",
    "presentation_of",
    "register",
    "train",
]

register()
