"""The training loop: what is recorded, who is told, how it stops, that it repeats itself."""

from __future__ import annotations

import itertools
import logging

import gymnasium as gym
import numpy as np
import pytest

from gridworld import AgentConfig, QLearningAgent, keyframes, train


class Notebook:
    """Stands in for a recorder: keeps what it is given, rows copied as a recorder does."""

    def __init__(self):
        self.steps, self.episodes, self.keyframes = [], [], []

    def record_step(self, observation, action, reward, *, q_values, explored):
        self.steps.append((observation, action, float(reward), tuple(q_values), explored))
        return float(reward)

    def open_episode(self):
        return len(self.steps), sum(reward for _, _, reward, *_ in self.steps)

    def finish_episode(self, final_observation, **ends):
        assert ends.pop("stage") is None
        self.episodes.append((self.steps, final_observation, ends))
        self.steps = []

    def keyframe(self, table, *, replaced=False, visited_only=False):
        assert not self.steps  # between episodes
        self.keyframes.append((len(self.episodes), replaced, visited_only))


class StopWhen:
    """Ends the loop once `asked` says so; it is asked before each episode and each step."""

    clear = False

    def __init__(self, asked):
        self.asked = asked

    def hold(self, between):
        return self.asked()


class Watched(gym.Wrapper):
    """Writes down every reset and step of the environment itself."""

    def __init__(self, env):
        super().__init__(env)
        self.seeds, self.taken = [], []

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        observation, info = self.env.reset(seed=seed, options=options)
        self.taken.append([observation])
        return observation, info

    def step(self, action):
        result = self.env.step(action)
        self.taken[-1].append((action, *result[:4]))
        return result


def run(episodes=40, *, seed=5, env_id="GridWorld-v0", agent_seed=None, **more):
    env = Watched(gym.make(env_id))
    agent = QLearningAgent(
        env.observation_space, env.action_space, seed=seed if agent_seed is None else agent_seed
    )
    notebook = Notebook()
    result = train(env, agent, episodes, seed=seed, recorder=notebook, **more)
    return env, agent, notebook, result


@pytest.mark.parametrize("env_id", ["GridWorld-v0", "FrozenLake-v1", "Taxi-v4"])
def test_everything_that_happens_is_recorded_in_order(env_id):
    """Each step and end as the environment gave them; T + 1 observations for T steps."""
    env, _, notebook, result = run(env_id=env_id)
    assert len(notebook.episodes) == len(env.taken) == result.episodes == 40
    assert result.steps == sum(len(taken) - 1 for taken in env.taken)
    for (steps, final, ends), (first, *taken) in zip(notebook.episodes, env.taken, strict=True):
        observations = [first, *(observation for _, observation, *_ in taken)]
        assert [step[0] for step in steps] == observations[:-1]
        assert final == observations[-1]
        assert [step[1:3] for step in steps] == [(action, r) for action, _, r, *_ in taken]
        assert (ends["terminated"], ends["truncated"]) == taken[-1][3:]
        assert ends["incomplete"] is False


def test_q_values_are_those_the_action_was_chosen_on():
    """Replaying the updates from an empty table meets every recorded row."""
    _, agent, notebook, _ = run()
    alpha, gamma = agent.learning_rate, agent.discount
    table = np.zeros((25, 4))
    for steps, final, ends in notebook.episodes:
        following = [step[0] for step in steps[1:]] + [final]
        for i, (observation, action, reward, row, explored) in enumerate(steps):
            assert tuple(table[observation]) == row
            assert explored or row[action] == max(row)
            last = ends["terminated"] and i == len(steps) - 1
            target = reward + (0 if last else gamma * table[following[i]].max())
            table[observation, action] += alpha * (target - table[observation, action])
    assert table.tolist() == agent.q_values


def test_only_the_first_reset_is_seeded_and_epsilon_is_the_episodes_own():
    """As Gymnasium recommends; the decay applies from the next episode on."""
    env, _, notebook, _ = run(4)
    assert env.seeds == [5, None, None, None]
    assert [ends["seed"] for *_, ends in notebook.episodes] == [5, None, None, None]
    epsilons = [ends["epsilon"] for *_, ends in notebook.episodes]
    assert epsilons == pytest.approx([1.0, 0.995, 0.995**2, 0.995**3])


@pytest.mark.parametrize("env_id", ["GridWorld-v0", "FrozenLake-v1", "Taxi-v4"])
def test_the_same_seed_gives_the_same_run(env_id):
    """Step by step and bit by bit; another seed gives another run."""
    _, agent, first, _ = run(env_id=env_id)
    _, again, second, _ = run(env_id=env_id)
    _, _, other, _ = run(env_id=env_id, seed=6)
    assert first.episodes == second.episodes
    assert agent.q_values == again.q_values
    assert first.episodes != other.episodes


def test_recording_does_not_change_the_run():
    """The same table with and without a recorder."""
    env = gym.make("GridWorld-v0")
    agent = QLearningAgent(env.observation_space, env.action_space, seed=5)
    train(env, agent, 40, seed=5)
    assert agent.q_values == run()[1].q_values


def test_callbacks_are_told_of_every_finished_episode():
    """Length, return, epsilon and ends agree with what was recorded."""
    results = []
    _, _, notebook, summary = run(callbacks=[results.append])
    assert [result.episode for result in results] == list(range(40))
    for result, (steps, _, ends) in zip(results, notebook.episodes, strict=True):
        assert result.length == len(steps)
        assert result.episode_return == sum(step[2] for step in steps)
        assert result.epsilon == ends["epsilon"]
        assert (result.terminated, result.truncated) == (ends["terminated"], ends["truncated"])
        assert result.success == (ends["terminated"] and steps[-1][2] > 0)
    returns = [result.episode_return for result in results]
    assert summary.mean_return_100 == pytest.approx(sum(returns) / 40)


def test_a_failing_callback_is_logged_once_and_stops_nothing(caplog):
    """Training, recording and the other callbacks go on."""
    results = []

    def broken(result):
        raise RuntimeError("out of paper")

    with caplog.at_level(logging.ERROR):
        _, _, notebook, summary = run(callbacks=[broken, results.append])
    assert summary.episodes == len(notebook.episodes) == len(results) == 40
    assert len(caplog.records) == 1
    assert "training goes on" in caplog.text
    assert "out of paper" in caplog.text


def test_a_stop_in_mid_episode_leaves_it_incomplete():
    """The steps taken are kept, the end is not passed off as one."""
    env = Watched(gym.make("GridWorld-v0"))
    agent = QLearningAgent(env.observation_space, env.action_space, seed=5)
    notebook, results = Notebook(), []

    def in_the_third_episode():
        return len(env.taken) == 3 and len(env.taken[-1]) == 1 + 4

    summary = train(
        env,
        agent,
        40,
        recorder=notebook,
        callbacks=[results.append],
        control=StopWhen(in_the_third_episode),
    )
    assert (summary.episodes, summary.incomplete) == (2, True)
    assert len(results) == 2
    steps, final, ends = notebook.episodes[-1]
    assert len(notebook.episodes) == 3
    assert len(steps) == 4
    assert final == env.taken[-1][-1][1]
    assert (ends["incomplete"], ends["terminated"], ends["truncated"]) == (True, False, False)
    assert summary.steps == sum(len(taken) - 1 for taken in env.taken)


def test_a_stop_at_the_end_of_an_episode_leaves_it_finished():
    """The last step's end counts; nothing further is begun."""
    env = Watched(gym.make("GridWorld-v0"))
    agent = QLearningAgent(env.observation_space, env.action_space, seed=5)
    notebook = Notebook()

    def at_the_second_end():
        last = env.taken[-1][-1] if env.taken else 0
        return len(env.taken) == 2 and isinstance(last, tuple) and any(last[3:])

    summary = train(env, agent, 40, recorder=notebook, control=StopWhen(at_the_second_end))
    assert (summary.episodes, summary.incomplete) == (2, False)
    assert [ends["incomplete"] for *_, ends in notebook.episodes] == [False, False]


def test_a_stop_before_the_start_takes_no_step():
    """The environment is not even reset."""
    env, _, notebook, summary = run(control=StopWhen(lambda: True))
    assert (summary.episodes, summary.steps, summary.mean_return_100) == (0, 0, None)
    assert env.taken == notebook.episodes == []


def test_rewards_of_other_types_stay_out_of_the_table():
    """numpy rewards become floats: the table holds plain floats, as does the record."""

    class NumpyRewards(gym.RewardWrapper):
        def reward(self, reward):
            return np.float32(reward)

    env = NumpyRewards(gym.make("GridWorld-v0"))
    agent = QLearningAgent(env.observation_space, env.action_space, AgentConfig(), seed=0)
    notebook = Notebook()
    train(env, agent, 5, seed=0, recorder=notebook)
    assert {type(value) for row in agent.q_values for value in row} == {float}
    assert {type(step[2]) for steps, *_ in notebook.episodes for step in steps} == {float}


def test_the_whole_table_is_recorded_at_both_ends_and_now_and_then(monkeypatch):
    monkeypatch.setattr(keyframes, "STEPS", 200)
    monkeypatch.setattr(keyframes, "STEPS_PER_ENTRY", 1)
    _, _, notebook, _ = run(episodes=60)
    frames = notebook.keyframes
    assert frames[0] == (0, True, True)
    assert frames[-1] == (60, False, True)
    lengths = [len(steps) for steps, *_ in notebook.episodes]
    between = [sum(lengths[a:b]) for (a, *_), (b, *_) in itertools.pairwise(frames[:-1])]
    assert len(between) > 2
    assert all(200 <= steps < 200 + max(lengths) for steps in between)
