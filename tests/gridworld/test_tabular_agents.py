"""All tabular agents: their arithmetic, that they repeat themselves, and what they learn."""

from __future__ import annotations

import math

import gymnasium as gym
import pytest
from gymnasium.spaces import Discrete

from gridworld import AGENTS, AgentConfig, train
from gridworld.agents.exploration import softmax_chances
from gridworld.evaluation import evaluate
from gridworld.parameters import ALGORITHMS


def agent_of(algorithm, n_observations=4, n_actions=3, seed=0, **config):
    return AGENTS[algorithm](
        Discrete(n_observations), Discrete(n_actions), AgentConfig(**config), seed=seed
    )


def trained(algorithm, env, episodes, seed=1, **config):
    agent = AGENTS[algorithm](
        env.observation_space, env.action_space, AgentConfig(**config), seed=seed
    )
    train(env, agent, episodes, seed=seed)
    return agent


def test_every_algorithm_that_can_be_asked_for_is_there():
    assert tuple(AGENTS) == ALGORITHMS


GREEDY = {"epsilon": 0.0, "epsilon_min": 0.0, "learning_rate": 0.5, "discount": 0.9}


def test_sarsa_learns_from_the_action_it_then_takes():
    """The textbook's target, with the action that `act` gives next."""
    for seed in range(20):
        agent = agent_of("sarsa", seed=seed, epsilon=1.0, learning_rate=0.5, discount=0.9)
        agent.q_values[1][:] = [1.0, 2.0, 3.0]
        agent.update(0, 2, -1.0, 1, False)
        action, explored, row = agent.act(1)
        assert explored
        assert row == [1.0, 2.0, 3.0]
        assert agent.q_values[0][2] == 0.5 * (-1 + 0.9 * row[action])
        agent.update(1, action, 5.0, 2, True)
        assert agent.q_values[1][action] == pytest.approx((row_before(action) + 5) / 2)


def row_before(action):
    return [1.0, 2.0, 3.0][action]


def test_what_was_drawn_for_a_step_that_never_came_is_forgotten():
    """After a truncation, and after a cut, the next episode draws anew on its own row."""
    for forget in ("end_episode", "drop_episode"):
        agent = agent_of("sarsa", **GREEDY)
        agent.q_values[1][:] = [0.0, 0.0, 1.0]
        agent.q_values[2][:] = [0.0, 1.0, 0.0]
        agent.update(0, 0, 0.0, 1, False)  # draws action 2
        getattr(agent, forget)()
        assert agent.act(2)[0] == 1


def test_expected_sarsa_learns_from_the_mean_over_its_policy():
    agent = agent_of("expected-sarsa", epsilon=0.3, learning_rate=0.5, discount=0.9)
    agent.q_values[1][:] = [1.0, 4.0, -2.0]
    agent.update(0, 0, 1.0, 1, False)
    mean = 0.7 * 4 + 0.3 * (1 + 4 - 2) / 3
    assert agent.q_values[0][0] == pytest.approx(0.5 * (1 + 0.9 * mean))
    agent.update(0, 1, 3.0, 1, True)
    assert agent.q_values[0][1] == 1.5


def test_double_q_learning_values_by_the_other_table():
    """One table learns at a time, towards the other's value of its own best action."""
    for seed in range(10):
        agent = agent_of("double-q-learning", seed=seed, learning_rate=0.5, discount=1.0)
        first, second = agent.tables
        first[1][:], second[1][:] = [5.0, 0.0, 0.0], [1.0, 0.0, 7.0]
        agent.update(0, 0, 0.0, 1, False)
        learned = (first[0][0], second[0][0])
        assert learned in ((0.5, 0.0), (0.0, 0.0))  # 1 by the second, 0 by the first
        assert agent.q_values[0][0] == sum(learned) / 2


def test_n_step_sarsa_learns_n_steps_later_and_the_rest_at_the_end():
    agent = agent_of("n-step-sarsa", n_steps=2, **{**GREEDY, "learning_rate": 1.0})
    agent.q_values[2][:] = [8.0, 0.0, 0.0]
    agent.update(0, 0, 1.0, 1, False)
    assert agent.q_values[0][0] == 0.0
    agent.update(1, 1, 2.0, 2, False)
    assert agent.q_values[0][0] == pytest.approx(1 + 0.9 * 2 + 0.81 * 8)
    agent.update(2, 0, 4.0, 3, True)
    assert agent.q_values[1][1] == pytest.approx(2 + 0.9 * 4)
    assert agent.q_values[2][0] == 4.0


def test_n_step_sarsa_learns_from_a_truncated_end_too():
    agent = agent_of("n-step-sarsa", n_steps=5, **{**GREEDY, "learning_rate": 1.0})
    agent.q_values[1][:] = [0.0, 3.0, 0.0]
    agent.update(0, 0, 1.0, 1, False)
    agent.end_episode()
    assert agent.q_values[0][0] == pytest.approx(1 + 0.9 * 3)


def test_one_step_of_n_step_sarsa_is_sarsa():
    """Same seed, same environment: the same table."""
    env = gym.make("GridWorld-v0")
    tables = [trained(name, env, 60, n_steps=1).q_values for name in ("sarsa", "n-step-sarsa")]
    assert tables[0] == tables[1]


def test_q_lambda_without_traces_is_q_learning():
    env = gym.make("GridWorld-v0")
    tables = [
        trained(name, env, 60, trace_decay=0.0).q_values for name in ("q-learning", "q-lambda")
    ]
    assert tables[0] == tables[1]


def test_q_lambda_teaches_what_led_there_until_it_explores():
    agent = agent_of("q-lambda", trace_decay=0.5, **{**GREEDY, "learning_rate": 1.0})
    agent.update(0, 0, 0.0, 1, False)
    agent.update(1, 0, 0.0, 2, False)
    agent.update(2, 0, 1.0, 3, True)
    assert [row[0] for row in agent.q_values[:3]] == pytest.approx([0.45**2, 0.45, 1.0])
    agent.end_episode()
    agent.update(1, 0, 0.0, 2, False)
    before = agent.q_values[1][0]
    agent.update(2, 1, 9.0, 3, True)  # not the best action there
    assert agent.q_values[1][0] == before


@pytest.mark.parametrize("row", [[0.0, 0.0], [1.0, 3.0, 3.0, -2.0], [1e300, -1e300], [-5.0]])
def test_chances_are_chances(row):
    """They add up to one, never below 0, and the best is never the less likely."""
    for temperature in (0.5, 0.0, 1e-300):
        chances = softmax_chances(row, temperature)
        assert math.fsum(chances) == pytest.approx(1)
        assert min(chances) >= 0
        assert chances[row.index(max(row))] == max(chances)


def test_softmax_draws_by_its_chances_and_cools_with_epsilon():
    agent = agent_of("q-learning", exploration="softmax", temperature=2.0, epsilon_min=0.0)
    row = agent.q_values[0]
    row[:] = [1.0, 2.0, 0.0]
    chances = softmax_chances(row, 2.0)
    drawn = [agent.act(0) for _ in range(3000)]
    for action, chance in enumerate(chances):
        assert sum(choice[0] == action for choice in drawn) == pytest.approx(3000 * chance, abs=130)
    assert all(explored == (action != 1) for action, explored, _ in drawn)
    agent.epsilon = 0.0
    assert {agent.act(0)[0] for _ in range(50)} == {1}


def test_a_linear_schedule_reaches_its_floor_when_it_says():
    agent = agent_of(
        "q-learning", epsilon=0.9, epsilon_min=0.1, epsilon_schedule="linear",
        epsilon_decay_episodes=4,
    )  # fmt: skip
    seen = []
    for _ in range(6):
        seen.append(agent.epsilon)
        agent.end_episode()
    assert seen == pytest.approx([0.9, 0.7, 0.5, 0.3, 0.1, 0.1])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("exploration", ["epsilon-greedy", "softmax"])
def test_the_same_seed_gives_the_same_table(algorithm, exploration):
    """Bit for bit; another seed gives another."""
    env = gym.make("FrozenLake-v1")
    first, again, other = (
        trained(algorithm, env, 150, seed=seed, exploration=exploration).q_values
        for seed in (4, 4, 5)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_table_that_is_loaded_is_acted_on(algorithm):
    agent = agent_of(algorithm, **GREEDY)
    agent.update(0, 0, 1.0, 1, False)
    agent.load([[0.0, 0.0, 1.0]] * 4)
    assert [agent.act(state)[0] for state in range(4)] == [2] * 4
    assert agent.greedy(3) == 2


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_solves_frozen_lake_without_slipping(algorithm):
    """Return 1, in the six steps of the shortest way."""
    env = gym.make("FrozenLake-v1", is_slippery=False)
    agent = trained(algorithm, env, 1500, learning_rate=0.3)
    assert evaluate(gym.make("FrozenLake-v1", is_slippery=False), agent, step_limit=6) == 1.0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_finds_a_shortest_path_through_gridworld(algorithm):
    """By breadth-first search, on the medium board."""
    env = gym.make("GridWorld-v0", difficulty="medium")
    agent = trained(algorithm, env, 1200, learning_rate=0.2)
    steps = len(env.unwrapped.config.shortest_path()) - 1
    assert evaluate(env, agent, step_limit=200) == 20 - (steps - 1)


CLIFF = {"learning_rate": 0.1, "discount": 1.0, "epsilon": 0.1, "epsilon_decay": 1.0}


def path_of(agent, env):
    observation, _ = env.reset()
    path = [observation]
    for _ in range(100):
        observation, _, terminated, truncated, _ = env.step(agent.greedy(observation))
        path.append(observation)
        if terminated or truncated:
            break
    return path


def test_the_cliff_tells_sarsa_and_q_learning_apart():
    """Sutton and Barto, example 6.6: epsilon 0.1 throughout. Q-learning learns the edge, 13
    steps, and falls off it while it explores; SARSA the safe way further up, and earns more."""
    returns = {}
    for algorithm in ("q-learning", "sarsa", "expected-sarsa"):
        env = gym.make("CliffWalking-v1", max_episode_steps=500)
        agent = AGENTS[algorithm](
            env.observation_space, env.action_space, AgentConfig(**CLIFF, epsilon_min=0.1), seed=1
        )
        results = []
        train(env, agent, 2500, seed=1, callbacks=[results.append])
        returns[algorithm] = sum(result.episode_return for result in results[-300:]) / 300
        path = path_of(agent, env)
        rows = {observation // 12 for observation in path[1:-1]}
        if algorithm == "q-learning":
            assert len(path) - 1 == 13
            assert rows == {2}  # right above the cliff
        else:
            assert min(rows) < 2
            assert path[-1] == 47
    assert returns["sarsa"] > returns["q-learning"]
    assert returns["expected-sarsa"] > returns["q-learning"]


def test_hyperparameters_name_what_matters():
    """To the agent and its schedule, and nothing else."""
    assert set(agent_of("q-learning").hyperparameters()) == {
        "learning_rate", "discount", "epsilon", "epsilon_decay", "epsilon_min",
    }  # fmt: skip
    said = agent_of("n-step-sarsa", epsilon_schedule="linear", exploration="softmax")
    assert set(said.hyperparameters()) == {
        "learning_rate", "discount", "epsilon", "epsilon_schedule", "epsilon_decay_episodes",
        "epsilon_min", "exploration", "temperature", "n_steps",
    }  # fmt: skip
