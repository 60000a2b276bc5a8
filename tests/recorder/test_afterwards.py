"""Pruning a run that is over: by policy, by quota, whole at every moment, space given back."""

from __future__ import annotations

import shutil
import sqlite3

import numpy as np
import pytest
from gymnasium import spaces
from recorder_kit import new_recorder, record_episode

from recorder import (
    NotARun,
    PolicyError,
    RunBusy,
    RunNotFound,
    StepsNotKept,
    open_run,
    prune_run,
)
from recorder import afterwards as afterwards_module
from recorder.check import check_run
from recorder.pruning import QUOTA_LEAST
from recorder.tape import Tape


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("afterwards")
    with new_recorder(runs_dir, run_id="a") as recorder:
        for number in range(60):
            record_episode(recorder, [0.0, float(number % 7), float(number % 3 - 1)])
    return runs_dir / "a"


@pytest.fixture
def run_dir(recorded, tmp_path):
    return shutil.copytree(recorded, tmp_path / "a")


@pytest.fixture
def large(tmp_path):
    """Episodes of noise: 20 kB each, several segments."""
    rng = np.random.default_rng(3)
    with new_recorder(
        tmp_path, run_id="large", observation_space=spaces.Box(-9, 9, (256,), np.float64)
    ) as recorder:
        for number in range(300):
            for _ in range(10):
                recorder.record_step(rng.normal(size=256), 0, float(number))
            recorder.finish_episode(rng.normal(size=256), terminated=True)
    return tmp_path / "large"


def kept(run_dir):
    with open_run(run_dir) as run:
        return [s.episode for s in map(run.episode, range(run.counts().episodes)) if s.kept]


def test_a_policy_leaves_what_it_keeps_and_every_summary(run_dir):
    with open_run(run_dir) as run:
        before = [run.load(number) for number in range(60)]
    result = prune_run(run_dir, keep="every 10 | top 1% of 50")
    # Of 50, episodes 20 and 41 earn the most and the earlier is kept; of the last ten, 55 does.
    assert kept(run_dir) == [0, 10, 20, 30, 40, 50, 55]
    assert (result.episodes, result.steps) == (60 - len(kept(run_dir)), 3 * result.episodes)
    assert result.kept == len(kept(run_dir))
    with open_run(run_dir) as run:
        assert run.counts().episodes == 60
        assert run.counts().steps == 180
        for number, old in enumerate(before):
            assert run.episode(number).episode_return == old.episode_return
            if number in kept(run_dir):
                assert run.load(number).rewards.tolist() == old.rewards.tolist()
                assert run.load(number).observations.tolist() == old.observations.tolist()
                assert "every 10" in run.episode(number).reason or number % 10
            else:
                with pytest.raises(StepsNotKept):
                    run.load(number)
        (event,) = [event for event in run.events() if event.kind == "prune"]
        assert event.data["episodes"] == result.episodes
        assert event.data["keep"] == "every 10 | top 1% of 50"
    assert check_run(run_dir).clean


def test_policies_that_look_at_the_last_reward_see_it(run_dir):
    prune_run(run_dir, keep="successes")
    assert kept(run_dir) == [number for number in range(60) if number % 3 == 2]


def test_what_is_gone_does_not_come_back(run_dir):
    prune_run(run_dir, keep="every 2")
    prune_run(run_dir, keep="every 3")
    assert kept(run_dir) == list(range(0, 60, 6))
    result = prune_run(run_dir, keep="every 3")
    assert (result.episodes, result.steps) == (0, 0)
    assert check_run(run_dir).clean


def test_a_function_decides_too(run_dir):
    prune_run(run_dir, keep=lambda episode: episode.episode_return > 5)
    with open_run(run_dir) as run:
        assert kept(run_dir) == [n for n in range(60) if run.episode(n).episode_return > 5]


def test_a_quota_takes_the_oldest_and_gives_the_space_back(large):
    size = (large / "run.db").stat().st_size
    quota = size // 3
    result = prune_run(large, quota_bytes=quota)
    assert result.bytes_before >= size
    assert result.bytes_after == (large / "run.db").stat().st_size <= quota
    there = kept(large)
    assert there[0] == 0  # the first, spared
    assert there[1:] == list(range(there[1], 300))
    assert check_run(large).clean


def test_a_policy_gives_space_back(large):
    result = prune_run(large, keep="every 50")
    assert result.bytes_after < result.bytes_before / 5


def test_a_killed_pruning_leaves_a_whole_run(run_dir, monkeypatch):
    monkeypatch.setattr(afterwards_module, "_BATCH", 7)
    commits = []
    commit = Tape.commit

    def failing(self, *args, **named):
        commits.append(1)
        if len(commits) > 3:
            raise sqlite3.OperationalError("disk I/O error")
        commit(self, *args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Tape, "commit", failing)
        with pytest.raises(afterwards_module.RunsDirError, match="disk I/O error"):
            prune_run(run_dir, keep="every 10")
    assert check_run(run_dir).clean
    there = kept(run_dir)
    assert 10 < len(there) < 60
    with open_run(run_dir) as run:
        assert all(run.load(number).length == 3 for number in there)
    prune_run(run_dir, keep="every 10")
    assert kept(run_dir) == [0, 10, 20, 30, 40, 50]


def test_a_recording_run_is_refused(tmp_path):
    with new_recorder(tmp_path, run_id="live") as recorder:
        record_episode(recorder, [1.0])
        recorder.flush()
        with pytest.raises(RunBusy):
            prune_run(tmp_path / "live", keep="every 10")
    assert kept(tmp_path / "live") == [0]


def test_a_crashed_run_keeps_the_episode_that_ran(tmp_path):
    with new_recorder(tmp_path, run_id="a") as recorder:
        for _ in range(5):
            record_episode(recorder, [1.0, 2.0])
    connection = sqlite3.connect(tmp_path / "a" / "run.db")
    connection.execute("UPDATE episodes SET running = 1 WHERE episode = 4")
    connection.commit()
    connection.close()
    prune_run(tmp_path / "a", keep="every 100")
    assert kept(tmp_path / "a") == [0, 4]


def test_what_cannot_be_pruned_is_refused(tmp_path, run_dir):
    with pytest.raises(PolicyError, match="neither"):
        prune_run(run_dir)
    with pytest.raises(PolicyError):
        prune_run(run_dir, keep="everything")
    with pytest.raises(PolicyError, match=f"{QUOTA_LEAST:,}"):
        prune_run(run_dir, quota_bytes=10)
    with pytest.raises(RunNotFound):
        prune_run(tmp_path / "none", keep="all")
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "run.db").write_bytes(b"noise" * 1000)
    with pytest.raises(NotARun):
        prune_run(tmp_path / "noise", keep="all")
    assert (tmp_path / "noise" / "run.db").read_bytes() == b"noise" * 1000
