"""The Q-table at any step, held against the agent's own at that step."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from recorder_kit import ACTIONS, Q_VALUES, STATES, new_recorder, record_episode, same

import gridworld
from gridworld import QLearningAgent
from recorder import (
    Channel,
    DamagedTape,
    EpisodeRecorder,
    KeyframeError,
    ListingError,
    NoQTable,
    check,
    open_run,
    recover,
)

STEPS = 3000
EVERY = 400


class Told:
    """A training of tabular Q-learning, recorded; keeps what the table was at each step."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.tables: list[np.ndarray[Any, Any]] = []
        self.starts: list[int] = []
        env = gym.make("FrozenLake-v1", is_slippery=True)
        self.agent = QLearningAgent(env.observation_space, env.action_space, seed=1)
        self.recorder = EpisodeRecorder(
            path, run_id="run", env=env, channels=[Channel("q_values", "float64", (4,))], **options
        )
        self.env = env

    def store(self, **options: Any) -> None:
        self.recorder.keyframe(self.agent.q_values, visited_only=True, **options)

    def play(self, steps: int, every: int | None = EVERY) -> None:
        """Train for so many steps, and to the end of the episode."""
        agent, stop, due = self.agent, len(self.tables) + steps, len(self.tables) + (every or 0)
        while len(self.tables) < stop:
            observation, _ = self.env.reset(seed=len(self.tables))
            self.starts.append(len(self.tables))
            over = False
            while not over:
                self.tables.append(np.array(agent.q_values))
                action, _, row = agent.act(observation)
                following, reward, terminated, truncated, _ = self.env.step(action)
                reward += 0.1 * observation  # so that all rows change all the time
                self.recorder.record_step(observation, action, reward, q_values=row)
                agent.update(observation, action, reward, following, terminated)
                observation, over = following, terminated or truncated
            self.recorder.finish_episode(observation, terminated=terminated, truncated=truncated)
            if every is not None and len(self.tables) >= due:
                self.store()
                due = len(self.tables) + every


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    told = Told(tmp_path_factory.mktemp("runs"))
    told.store(replaced=True)
    told.play(STEPS)
    told.store()
    told.tables.append(np.array(told.agent.q_values))
    told.recorder.close()
    return told


def visited(told: Told, step: int) -> np.ndarray[Any, Any]:
    with open_run(told.recorder.path) as run:
        counted = np.zeros(16, np.int64)
        for number in range(len(told.starts)):
            episode = run.load(number)
            for t in range(episode.length):
                if episode.first_step + t < step:
                    counted[episode.observations[t]] += 1
    return counted


def test_the_table_at_every_step_is_the_agents_own(told: Told) -> None:
    with open_run(told.recorder.path) as run:
        assert len(run.keyframes()) > 5
        for step in [0, STEPS, *random.Random(3).sample(range(STEPS), 300)]:
            found = run.q_table(step)
            assert same(found.values, told.tables[step]), step
            assert found.exact.all()
            assert found.step == step
        assert same(run.q_table().values, told.tables[-1])


def test_a_step_of_an_episode_and_its_beginning_are_moments_too(told: Told) -> None:
    with open_run(told.recorder.path) as run:
        for number in random.Random(4).sample(range(len(told.starts)), 20):
            first = told.starts[number]
            assert same(run.q_table(episode=number).values, told.tables[first])
            assert run.q_table(1, episode=number).step == first + 1


def test_visits_are_the_steps_taken_before(told: Told) -> None:
    with open_run(told.recorder.path) as run:
        for step in (1500, 0, 777, 2990):  # in any order: counting goes on from the nearest
            assert same(run.q_table(step).visits, visited(told, step))


def test_actions_are_counted_over_the_run(told: Told) -> None:
    with open_run(told.recorder.path) as run:
        taken = np.concatenate([run.load(n).actions for n in range(len(told.starts))])
        assert run.action_counts().tolist() == np.bincount(taken, minlength=4).tolist()


def test_the_range_covers_the_whole_run(told: Told) -> None:
    with open_run(told.recorder.path) as run:
        found = run.q_range()
        last = told.tables[-1]
    assert last.min() <= found.low <= found.value_low
    assert np.quantile(last, 0.5) < found.high <= found.value_high <= last.max()
    assert found.visits == visited(told, len(told.tables)).max()


def test_without_a_later_keyframe_rows_say_whether_they_are_exact(tmp_path: Path) -> None:
    """As while a run records, or after its recorder died."""
    told = Told(tmp_path)
    told.store(replaced=True)
    told.play(500, every=None)
    told.recorder.close()
    with open_run(told.recorder.path) as run:
        for step in random.Random(5).sample(range(500), 60):
            found = run.q_table(step)
            right = [same(a, b) for a, b in zip(found.values, told.tables[step], strict=True)]
            assert all(right[state] for state in np.flatnonzero(found.exact)), step
        assert run.q_table(3).exact.sum() > 8  # visited again, or never
        assert not run.q_table(len(told.tables)).exact.all()


def test_a_table_that_replaced_another_leads_back_to_none_of_its_rows(tmp_path: Path) -> None:
    told = Told(tmp_path)
    told.store(replaced=True)
    told.play(300, every=None)
    at = len(told.tables)
    told.store()
    for row in told.agent.q_values:
        row[:] = [9.0] * len(row)
    told.store(replaced=True)
    told.play(300, every=None)
    told.store()
    told.recorder.close()
    with open_run(told.recorder.path) as run:
        for step in (0, 100, at - 1, at, at + 1, at + 200):
            found = run.q_table(step)
            assert found.exact.all()
            assert same(found.values, told.tables[step]), step


def test_a_run_without_keyframes_gives_the_rows_that_were_seen(tmp_path: Path) -> None:
    told = Told(tmp_path)
    told.play(600, every=None)
    told.recorder.close()
    with open_run(told.recorder.path) as run:
        found = run.q_table(300)
        known = ~np.isnan(found.values).any(axis=1)
        assert known.sum() > 8
        assert not found.exact.any()  # nobody said how the table changes
        assert run.keyframes() == []
        assert run.q_range().high > 0


def test_steps_that_were_not_kept_make_rows_inexact_never_wrong(tmp_path: Path) -> None:
    told = Told(tmp_path, keep="every 10")
    told.store(replaced=True)
    told.play(1500, every=600)
    told.store()
    told.recorder.close()
    with open_run(told.recorder.path) as run:
        told_exact = 0
        for step in random.Random(6).sample(range(1500), 100):
            found = run.q_table(step)
            for state in np.flatnonzero(found.exact):
                assert same(found.values[state], told.tables[step][state]), step
            told_exact += int(found.exact.sum())
        assert told_exact > 0
        kept = [run.load(n) for n in range(len(told.starts)) if run.episode(n).kept]
        steps = sum(episode.length for episode in kept)
        assert run.q_table().visits.sum() == steps < len(told.tables)


def test_states_are_counted_from_the_start_of_the_space(tmp_path: Path) -> None:
    space = spaces.Discrete(3, start=5)
    with new_recorder(tmp_path, observation_space=space, channels=[Q_VALUES]) as recorder:
        recorder.record_step(6, 0, 1.0, q_values=[1.0, 2.0, 3.0, 4.0])
        recorder.finish_episode(7, terminated=True)
    with open_run(recorder.path) as run:
        found = run.q_table(0)
    assert found.start == 5
    assert found.values[1].tolist() == [1, 2, 3, 4]
    assert np.isnan(found.values[[0, 2]]).all()


def test_a_run_taken_up_again_goes_on_with_a_table_of_its_own(tmp_path: Path) -> None:
    env = gridworld.GridWorldEnv(difficulty="easy")
    for seed in (1, 2):
        agent = QLearningAgent(env.observation_space, env.action_space, seed=seed)
        channels = [
            Channel("q_values", "float64", (env.action_space.n,)),
            Channel("explored", "bool"),
        ]
        recorder = EpisodeRecorder(
            tmp_path, run_id="run", env=env, channels=channels, resume=seed == 2
        )
        with recorder:
            gridworld.train(env, agent, 30, seed=seed, recorder=recorder)
    with open_run(tmp_path / "run") as run:
        resumed = run.episode(30).first_step
        assert not run.q_table(resumed).values.any()
        assert run.q_table(resumed - 1).values.any()
        assert same(run.q_table().values, np.array(agent.q_values))


@pytest.mark.parametrize("bad", ["text", [[1], [2, 3]], [], [[object()]], np.zeros((1 << 21, 2))])
def test_what_is_no_table_is_refused(tmp_path: Path, bad: Any) -> None:
    with new_recorder(tmp_path) as recorder:
        with pytest.raises(KeyframeError, match="expected"):
            recorder.keyframe(bad)
        record_episode(recorder, [1.0])
    assert recorder.stats.errors == 0


def test_a_run_without_q_values_says_so_and_one_with_them_knows_its_steps(
    tmp_path: Path, told: Told
) -> None:
    with new_recorder(tmp_path) as recorder:
        record_episode(recorder, [1.0])
    with open_run(recorder.path) as run, pytest.raises(NoQTable, match="q_values"):
        run.q_table()
    with open_run(told.recorder.path) as run, pytest.raises(ListingError, match="expected a step"):
        run.q_table(len(told.tables))


def one_keyframe(tmp_path: Path) -> Path:
    with new_recorder(tmp_path, channels=[Q_VALUES]) as recorder:
        recorder.record_step(1, 1, 1.0, q_values=[1.0] * ACTIONS)
        recorder.finish_episode(2, terminated=True)
        recorder.keyframe(np.arange(STATES * ACTIONS, dtype=float).reshape(STATES, ACTIONS))
    return recorder.path


@pytest.mark.parametrize("column", ["global_step", "episode", "shape", "dtype", "checksum", "blob"])
def test_a_damaged_keyframe_is_refused_and_found(tmp_path: Path, column: str) -> None:
    path = one_keyframe(tmp_path)
    with sqlite3.connect(path / "run.db") as connection:
        (value,) = connection.execute(f"SELECT {column} FROM keyframes").fetchone()
        if isinstance(value, bytes):
            value = value[:5] + bytes([value[5] ^ 1]) + value[6:]
        else:
            value = (
                value + 1 if isinstance(value, int) else value.replace("9", "8").replace("f", "i")
            )
        connection.execute(f"UPDATE keyframes SET {column} = ?", (value,))
    connection.close()
    with open_run(path) as run, pytest.raises(DamagedTape, match="keyframe"):
        run.q_table(0)
    report = check.check_run(path)
    assert [finding.place.split()[0] for finding in report.findings] == ["keyframes"]


def test_keyframes_are_recovered_with_the_rest(tmp_path: Path) -> None:
    path = one_keyframe(tmp_path)
    with open_run(path) as run:
        before = run.q_table()
    recovered = recover.recover_run(path)
    with open_run(recovered.path) as run:
        assert same(run.q_table().values, before.values)
    assert check.check_run(recovered.path).clean
