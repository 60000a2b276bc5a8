"""What is on the tape is what the environment and the agent produced, exactly.

The witnesses stand between the loop and the two: a wrapper around the environment and
one around the agent. They know nothing of the recorder.
"""

from __future__ import annotations

import random
from typing import Any

import gymnasium as gym
import pytest
from recorder_kit import same

from gridworld import AgentConfig, QLearningAgent, train
from recorder import Channel, Episode, EpisodeRecorder, Run, open_run


class WitnessedEnv(gym.Wrapper):
    """Writes down what each reset and step gave, and what they were given."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.episodes: list[dict[str, Any]] = []

    def reset(self, *, seed=None, options=None):
        observation, info = self.env.reset(seed=seed, options=options)
        self.episodes.append(
            {
                "seed": seed,
                "observations": [observation],
                "actions": [],
                "rewards": [],
                "terminated": False,
                "truncated": False,
            }
        )
        return observation, info

    def step(self, action):
        result = observation, reward, terminated, truncated, _ = self.env.step(action)
        log = self.episodes[-1]
        log["observations"].append(observation)
        log["actions"].append(action)
        log["rewards"].append(float(reward))
        log["terminated"], log["truncated"] = bool(terminated), bool(truncated)
        return result


class WitnessedAgent:
    """Writes down what the agent thought at each step, before it learned from it."""

    def __init__(self, agent: QLearningAgent) -> None:
        self._agent = agent
        self.update = agent.update
        self.episodes: list[dict[str, Any]] = [self._blank()]

    def _blank(self) -> dict[str, Any]:
        return {"epsilon": self._agent.epsilon, "q_values": [], "explored": []}

    @property
    def epsilon(self) -> float:
        return self._agent.epsilon

    def act(self, observation: int) -> tuple[int, bool, list[float]]:
        action, explored, q_values = self._agent.act(observation)
        log = self.episodes[-1]
        log["q_values"].append(list(q_values))
        log["explored"].append(explored)
        return action, explored, q_values

    def end_episode(self) -> None:
        self._agent.end_episode()
        self.episodes.append(self._blank())


def witnessed_training(
    runs_dir, env: gym.Env, episodes: int, **options: Any
) -> tuple[EpisodeRecorder, list[dict[str, Any]]]:
    """Train with everything recorded; return the recorder and the witnesses' log."""
    env = WitnessedEnv(env)
    agent = QLearningAgent(
        env.observation_space, env.action_space, AgentConfig(epsilon_decay=0.98), seed=3
    )
    witness = WitnessedAgent(agent)
    recorder = EpisodeRecorder(
        runs_dir,
        env=env,
        channels=(
            Channel("q_values", "float64", (agent.n_actions,)),
            Channel("explored", "bool"),
        ),
        seed=11,
        **options,
    )
    train(env, witness, episodes, seed=11, recorder=recorder)
    recorder.close()
    return recorder, [
        {**produced, **thought}
        for produced, thought in zip(env.episodes, witness.episodes, strict=False)
    ]


def assert_as_witnessed(episode: Episode, log: dict[str, Any]) -> None:
    """Every step of an episode, and what is known of the whole, is as it was seen."""
    assert episode.observations.tolist() == log["observations"]
    assert episode.actions.tolist() == log["actions"]
    assert same(episode.rewards.tolist(), log["rewards"])
    assert same(episode.channels["q_values"].tolist(), log["q_values"])
    assert episode.channels["explored"].tolist() == log["explored"]
    assert (episode.terminated, episode.truncated) == (log["terminated"], log["truncated"])
    assert not episode.incomplete
    assert episode.epsilon == log["epsilon"]
    assert episode.seed == log["seed"]
    assert len(episode.observations) == episode.length + 1


def assert_run_as_witnessed(run: Run, logs: list[dict[str, Any]]) -> None:
    """Read a whole run, each episode in one piece and again in stretches."""
    cuts = random.Random(5)
    assert run.counts().episodes == len(logs)
    assert run.counts().steps == sum(len(log["rewards"]) for log in logs)
    first_step = 0
    for number, log in enumerate(logs):
        length = len(log["rewards"])
        summary = run.episode(number)
        assert (summary.first_step, summary.length) == (first_step, length)
        assert summary.episode_return == pytest.approx(sum(log["rewards"]), rel=1e-12)
        first_step += length

        assert_as_witnessed(run.load(number), log)

        start = cuts.randint(0, length)
        stop = cuts.randint(start, length)
        part = run.steps(number, start, stop)
        assert part.columns["observation"].tolist() == log["observations"][start:stop]
        assert part.columns["action"].tolist() == log["actions"][start:stop]
        assert same(part.columns["reward"].tolist(), log["rewards"][start:stop])
        assert same(part.columns["q_values"].tolist(), log["q_values"][start:stop])
        assert part.columns["explored"].tolist() == log["explored"][start:stop]
        assert part.return_before == pytest.approx(sum(log["rewards"][:start]), rel=1e-12)
        if stop == length:
            assert part.final_observation == log["observations"][-1]
        else:
            assert part.final_observation is None


def test_every_step_of_1000_grid_world_episodes_is_read_back_as_it_was_produced(tmp_path):
    """Issue 2: a thousand episodes, each step compared with independent witnesses."""
    told: list[Episode] = []
    env = gym.make("GridWorld-v0", difficulty="medium", map_seed=4, slip_probability=0.1)
    recorder, logs = witnessed_training(tmp_path, env, 1000, live_stream_callback=told.append)

    assert recorder.stats.lost_steps == recorder.stats.errors == 0
    assert any(log["truncated"] for log in logs)
    assert any(log["terminated"] for log in logs)
    with open_run(recorder.path) as run:
        assert_run_as_witnessed(run, logs)
        assert run.info.status == "finished"
    # The callback saw them all, in order; the live queue kept the newest.
    assert [episode.episode for episode in told] == list(range(1000))
    for episode, log in zip(told, logs, strict=True):
        assert_as_witnessed(episode, log)
    live = recorder.live.drain()
    assert [episode.episode for episode in live] == list(range(990, 1000))
    for episode in live:
        assert_as_witnessed(episode, logs[episode.episode])
    assert recorder.live.dropped == 990


def test_it_makes_no_difference_how_often_work_is_taken_and_committed(tmp_path):
    """With a commit as often as can be, episodes come to the tape in pieces; it is the same."""
    env = gym.make("GridWorld-v0", difficulty="easy")
    recorder, logs = witnessed_training(tmp_path, env, 100, commit_interval=0.0001)
    with open_run(recorder.path) as run:
        assert_run_as_witnessed(run, logs)


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"])
def test_gymnasiums_own_environments_are_read_back_as_they_were_produced(tmp_path, env_id):
    """Numpy integers and floats come from some of these, and infos that nobody asked for."""
    env = gym.make(env_id, max_episode_steps=150)
    recorder, logs = witnessed_training(tmp_path, env, 40)
    with open_run(recorder.path) as run:
        assert run.info.env_id == env_id
        assert run.info.seed == 11
        assert_run_as_witnessed(run, logs)
    for episode in recorder.live.drain():
        assert_as_witnessed(episode, logs[episode.episode])
