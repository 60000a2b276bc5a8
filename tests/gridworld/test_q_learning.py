"""The tabular Q-learning agent: its arithmetic, its choices, and that it learns."""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from gridworld import (
    AgentConfig,
    InvalidParameter,
    QLearningAgent,
    UnsupportedSpace,
    train,
)


def agent_of(n_observations=3, n_actions=4, seed=0, **config):
    return QLearningAgent(
        Discrete(n_observations), Discrete(n_actions), AgentConfig(**config), seed=seed
    )


def greedy_return(env, agent):
    """The undiscounted return of one episode without exploration or learning."""
    agent.epsilon = 0.0
    observation, _ = env.reset()
    total, ended = 0.0, False
    while not ended:
        action, explored, _ = agent.act(observation)
        assert not explored
        observation, reward, terminated, truncated, _ = env.step(action)
        total += reward
        ended = terminated or truncated
    return total


def test_an_update_is_the_textbooks():
    """Q(s, a) moves by alpha towards r + gamma max Q(s', .), and to r alone at the end."""
    agent = agent_of(learning_rate=0.5, discount=0.9)
    agent.q_values[1] = [1.0, 4.0, -2.0, 0.0]
    agent.update(0, 2, -1.0, 1, False)
    assert agent.q_values[0] == [0.0, 0.0, 0.5 * (-1 + 0.9 * 4), 0.0]
    agent.update(0, 2, 10.0, 1, True)
    assert agent.q_values[0][2] == pytest.approx(0.5 * 1.3 + 0.5 * 10)
    assert agent.q_values[1] == [1.0, 4.0, -2.0, 0.0]


def test_without_exploration_the_best_action_is_taken():
    """epsilon 0: the only best action, never said to be exploratory, with its row."""
    agent = agent_of(epsilon=0.0, epsilon_min=0.0)
    agent.q_values[2] = [0.0, 1.0, 3.0, 2.0]
    for _ in range(50):
        assert agent.act(2) == (2, False, [0.0, 1.0, 3.0, 2.0])


def test_ties_are_broken_evenly_and_only_between_the_best():
    """Two best actions come up about equally often, the others never."""
    agent = agent_of(epsilon=0.0, epsilon_min=0.0)
    agent.q_values[0] = [5.0, -1.0, 5.0, 4.9]
    chosen = [agent.act(0)[0] for _ in range(2000)]
    assert set(chosen) == {0, 2}
    assert chosen.count(0) == pytest.approx(1000, abs=120)


def test_exploration_happens_as_often_as_epsilon_says():
    """About three in ten choices are exploratory, spread over all actions."""
    agent = agent_of(epsilon=0.3, epsilon_min=0.3)
    agent.q_values[0] = [1.0, 0.0, 0.0, 0.0]
    choices = [agent.act(0)[:2] for _ in range(4000)]
    explored = [action for action, explored in choices if explored]
    assert len(explored) == pytest.approx(1200, abs=130)
    assert set(explored) == {0, 1, 2, 3}
    assert {action for action, explored in choices if not explored} == {0}


def test_epsilon_decays_by_its_factor_to_its_floor():
    """Multiplied after each episode, never below epsilon_min."""
    agent = agent_of(epsilon=0.8, epsilon_decay=0.5, epsilon_min=0.15)
    seen = []
    for _ in range(5):
        seen.append(agent.epsilon)
        agent.end_episode()
    assert seen == [0.8, 0.4, 0.2, 0.15, 0.15]


def test_spaces_that_do_not_start_at_zero():
    """Discrete(n, start): actions come from it, and observations find their row."""
    agent = QLearningAgent(Discrete(3, start=np.int64(10)), Discrete(2, start=np.int64(-1)), seed=0)
    assert {agent.act(12)[0] for _ in range(100)} == {-1, 0}
    agent.update(12, 0, 1.0, 10, True)
    assert agent.q_values == [[0.0, 0.0], [0.0, 0.0], [0.0, 0.1]]


@pytest.mark.parametrize(
    ("observations", "actions", "what"),
    [
        (Box(0, 1, (2,)), Discrete(2), "a Discrete observation space, but got Box"),
        (Discrete(2), Box(0, 1, (2,)), "a Discrete action space, but got Box"),
    ],
)
def test_a_space_that_no_table_holds_is_refused(observations, actions, what):
    """Named with what came and which environments do."""
    with pytest.raises(UnsupportedSpace, match=what) as caught:
        QLearningAgent(observations, actions)
    assert "FrozenLake-v1" in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1, "0.1", None, True])
@pytest.mark.parametrize(
    "field", ["learning_rate", "discount", "epsilon", "epsilon_decay", "epsilon_min"]
)
def test_a_hyperparameter_out_of_range_is_refused(field, value):
    """NaN and text too; the message names the field and what came."""
    with pytest.raises(InvalidParameter, match=f"^{field} must be a number .* but got"):
        AgentConfig(**{field: value})


def test_hyperparameters_at_their_limits():
    """0 is a discount and an epsilon, but no learning rate and no decay; the floor is below."""
    AgentConfig(learning_rate=1, discount=0, epsilon=0, epsilon_decay=1, epsilon_min=0)
    for field in ("learning_rate", "epsilon_decay"):
        with pytest.raises(InvalidParameter, match="above 0"):
            AgentConfig(**{field: 0})
    with pytest.raises(InvalidParameter, match=r"^epsilon_min must be at most epsilon \(0.01"):
        AgentConfig(epsilon=0.01)


@pytest.mark.parametrize("kwargs", [{}, {"hazards": True}, {"map_seed": 3, "hazards": True}])
def test_it_finds_a_shortest_path_through_gridworld(kwargs):
    """The greedy return after training is that of the shortest path by breadth-first search."""
    env = gym.make("GridWorld-v0", difficulty="easy", **kwargs)
    agent = QLearningAgent(env.observation_space, env.action_space, seed=1)
    train(env, agent, 1500, seed=1)
    steps = len(env.unwrapped.config.shortest_path()) - 1
    assert greedy_return(env, agent) == 20 - (steps - 1)


def test_it_solves_frozen_lake_without_slipping():
    """Return 1, the best there is, in the six steps of the shortest way."""
    env = gym.make("FrozenLake-v1", is_slippery=False)
    agent = QLearningAgent(env.observation_space, env.action_space, seed=1)
    train(env, agent, 3000, seed=1)
    env = gym.wrappers.TimeLimit(env, 6)
    assert greedy_return(env, agent) == 1.0


def test_it_walks_the_edge_of_the_cliff():
    """The optimal return of CliffWalking is -13 (Sutton and Barto, example 6.6)."""
    env = gym.make("CliffWalking-v1", max_episode_steps=500)
    agent = QLearningAgent(
        env.observation_space, env.action_space, AgentConfig(learning_rate=0.5), seed=1
    )
    train(env, agent, 1000, seed=1)
    assert greedy_return(env, agent) == -13.0
