"""Tabular agents, one a module; each is read top to bottom."""

from __future__ import annotations

from gridworld.agents.double_q_learning import DoubleQLearningAgent
from gridworld.agents.expected_sarsa import ExpectedSarsaAgent
from gridworld.agents.n_step_sarsa import NStepSarsaAgent
from gridworld.agents.q_lambda import QLambdaAgent
from gridworld.agents.q_learning import QLearningAgent
from gridworld.agents.sarsa import SarsaAgent
from gridworld.agents.table import AgentConfig, TabularAgent

AGENTS: dict[str, type[TabularAgent]] = {
    agent.algorithm: agent
    for agent in (
        QLearningAgent,
        SarsaAgent,
        ExpectedSarsaAgent,
        DoubleQLearningAgent,
        NStepSarsaAgent,
        QLambdaAgent,
    )
}
"""Agents by the name of their algorithm, as `gridworld.parameters.ALGORITHMS` lists them."""

__all__ = [
    "AGENTS",
    "AgentConfig",
    "DoubleQLearningAgent",
    "ExpectedSarsaAgent",
    "NStepSarsaAgent",
    "QLambdaAgent",
    "QLearningAgent",
    "SarsaAgent",
    "TabularAgent",
]
