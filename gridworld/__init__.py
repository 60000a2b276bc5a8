"""GridWorld, tabular Q-learning and a training loop that a recorder can listen to.

Importing this package registers `GridWorld-v0` with Gymnasium.
"""

from gridworld.agents import (
    AGENTS,
    AgentConfig,
    DoubleQLearningAgent,
    ExpectedSarsaAgent,
    NStepSarsaAgent,
    QLambdaAgent,
    QLearningAgent,
    SarsaAgent,
    TabularAgent,
)
from gridworld.config import PRESETS, GridWorldConfig
from gridworld.env import ENV_ID, GridWorldEnv, register
from gridworld.errors import (
    GridWorldError,
    InvalidCheckpoint,
    InvalidCommand,
    InvalidCurriculum,
    InvalidGrid,
    InvalidParameter,
    UnknownEnvironment,
    UnsupportedSpace,
)
from gridworld.loop import EpisodeResult, TrainingResult, train
from gridworld.presentation import presentation_of

__all__ = [
    "AGENTS",
    "ENV_ID",
    "PRESETS",
    "AgentConfig",
    "DoubleQLearningAgent",
    "EpisodeResult",
    "ExpectedSarsaAgent",
    "GridWorldConfig",
    "GridWorldEnv",
    "GridWorldError",
    "InvalidCheckpoint",
    "InvalidCommand",
    "InvalidCurriculum",
    "InvalidGrid",
    "InvalidParameter",
    "NStepSarsaAgent",
    "QLambdaAgent",
    "QLearningAgent",
    "SarsaAgent",
    "TabularAgent",
    "TrainingResult",
    "UnknownEnvironment",
    "UnsupportedSpace",
    "presentation_of",
    "register",
    "train",
]

register()
