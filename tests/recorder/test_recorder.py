"""`EpisodeRecorder` as a training loop meets it: what it takes, what it refuses, how it ends."""

from __future__ import annotations

import fcntl
import logging
import math
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from recorder_kit import ACTIONS, EXPLORED, Q_VALUES, STATES, new_recorder, record_episode, same

import recorder.recorder
from recorder import (
    Channel,
    ChannelError,
    Episode,
    EpisodeNotFound,
    EpisodeRecorder,
    OptionError,
    PolicyError,
    RecordEpisodes,
    RecordVectorEpisodes,
    Run,
    RunExists,
    RunIdError,
    RunsDirError,
    SequenceError,
    SpaceError,
    list_runs,
    open_run,
)
from recorder.errors import FactsError
from recorder.schema import LOCK_NAME


def rewards_of(run: Run, number: int) -> list[float]:
    return list(run.load(number).rewards.tolist())


# What it refuses


@pytest.mark.usefixtures("packer")
def test_calls_in_an_order_that_makes_no_episode_are_refused_and_harm_nothing(tmp_path):
    """Each says what to do instead; the recording goes on as if they had not been."""
    with new_recorder(tmp_path) as recorder:
        with pytest.raises(SequenceError, match="at least one step"):
            recorder.finish_episode(0, terminated=True)
        with pytest.raises(SequenceError, match="at least one step"):
            recorder(Episode([0], [], []))
        record_episode(recorder, [1.0])
        with pytest.raises(SequenceError, match="once an episode"):
            recorder.finish_episode(0, terminated=True)
        recorder.record_step(0, 0, 2.0)
        with pytest.raises(SequenceError, match="no open episode"):
            recorder(Episode([0, 1], [0], [3.0]))
        recorder.finish_episode(1, truncated=True)
        with pytest.raises(SequenceError, match="expected 3 observations for 2 steps, got 1"):
            recorder(Episode([0], [0, 1], [3.0, 4.0]))
        recorder(Episode([0, 1], [0], [5.0], terminated=True))
    with open_run(recorder.path) as run:
        assert [rewards_of(run, number) for number in range(3)] == [[1.0], [2.0], [5.0]]
        assert run.counts().episodes == 3


@pytest.mark.usefixtures("packer")
def test_a_closed_recorder_takes_nothing_more(tmp_path):
    """Nor does a `record_step` that the loop holds on to."""
    recorder = new_recorder(tmp_path)
    record_step = recorder.record_step
    record_step(0, 0, 1.0)
    recorder.close()
    recorder.close()
    for call in (
        lambda: recorder.record_step(0, 0, 1.0),
        lambda: record_step(0, 0, 1.0),
        lambda: recorder.finish_episode(0, terminated=True),
        lambda: recorder(Episode([0, 1], [0], [1.0])),
    ):
        with pytest.raises(SequenceError, match="got a closed one"):
            call()
    with open_run(recorder.path) as run:
        assert run.counts().steps == 1


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"epsilon": "high"}, "numbers as epsilon and seed"),
        ({"epsilon": [0.1]}, "numbers as epsilon and seed"),
        ({"seed": 1.5}, "numbers as epsilon and seed"),
        ({"seed": "x"}, "numbers as epsilon and seed"),
        ({"seed": 1 << 63}, "64 bits"),
        ({"seed": -(1 << 70)}, "64 bits"),
        ({"tags": ("two words",)}, "without spaces"),
        ({"tags": ("",)}, "without spaces"),
        ({"tags": (1,)}, "without spaces"),
        ({"tags": None}, "a list of words"),
        ({"tags": None, "epsilon": 0.5}, "a list of words"),
        ({"tags": 0, "epsilon": 0.5}, "a list of words"),
        ({"duration_s": "a while"}, "duration_s as a number"),
        ({"duration_s": math.nan}, "duration_s as a number"),
    ],
)
def test_facts_that_cannot_be_stored_are_refused_where_they_are_told(recording, facts, words):
    """Found out by the writer, they would cost all that is written with them."""
    recorder = recording
    recorder.record_step(0, 0, 1.0)
    with pytest.raises(FactsError, match=words):
        recorder.finish_episode(0, terminated=True, **facts)
    recorder.finish_episode(0, terminated=True)
    with pytest.raises(FactsError, match=words):
        recorder(Episode([0, 1], [0], [1.0], **facts))
    recorder(Episode([0, 1], [0], [1.0]))
    assert recorder.flush()
    assert recorder.stats.errors == 0


@pytest.mark.parametrize("when", ["noon", math.nan, -math.inf])
def test_an_episode_that_began_at_no_time_is_refused(recording, when):
    """Nothing of it stands in the way of the next."""
    with pytest.raises(FactsError, match="started_at as a number"):
        recording(Episode([0, 1], [0], [1.0], started_at=when))
    assert not recording.has_open_steps


def test_text_that_no_file_can_hold_is_written_out(tmp_path):
    """Half of a pair of UTF-16, as a file's name may have it, costs nothing else."""
    with new_recorder(tmp_path, name="a\udcff", algorithm="b\udcff") as recorder:
        recorder.event("note\udcff", "at \udcff")
        recorder.keyframe(np.zeros((10, 2)), name="q\udcff")
        recorder.record_step(0, 0, 1.0)
        recorder.finish_episode(0, stage="\udcff", tags=("t\udcff",))
        assert recorder.flush()
    with open_run(recorder.path) as run:
        assert (run.info.name, run.info.algorithm) == ("a\\udcff", "b\\udcff")
        assert (run.episode(0).stage, run.episode(0).tags) == ("\\udcff", ("t\\udcff",))
        assert [(e.kind, e.text) for e in run.events()] == [("note\\udcff", "at \\udcff")]


def test_a_fault_on_the_way_to_the_writer_leaves_nobody_waiting_for_a_flush(
    tmp_path, monkeypatch, caplog
):
    """What it cost is counted, and the flush says so."""
    caplog.set_level(logging.CRITICAL)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with new_recorder(tmp_path, commit_interval=60.0) as recorder:
        with monkeypatch.context() as patch:
            patch.setattr("recorder.link.WriterLink.send_steps", broken)
            recorder.record_step(0, 0, 1.0)
            answers: list[bool] = []
            flushing = threading.Thread(
                target=lambda: answers.append(recorder.flush()), daemon=True
            )
            flushing.start()
            flushing.join(30)
            assert answers == [False]
        recorder.finish_episode(0, terminated=True)
    assert recorder.stats.lost_steps == 1


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"commit_interval": "x"}, OptionError, "commit_interval in seconds"),
        ({"commit_interval": -1}, OptionError, "got -1"),
        ({"commit_interval": math.nan}, OptionError, "got nan"),
        ({"commit_interval": math.inf}, OptionError, "got inf"),
        ({"live_stream_callback": 3}, OptionError, "a function of an episode"),
        ({"quota_bytes": "500MB"}, PolicyError, "got '500MB'"),
        ({"quota_bytes": math.nan}, PolicyError, "got nan"),
        ({"channels": ["q"]}, ChannelError, "got 'q'"),
        ({"agents": "ab"}, ChannelError, r"write \['ab'\]"),
        ({"agents": 3}, ChannelError, "agents as a list of names, got 3"),
        ({"agents": [1]}, ChannelError, "labels"),
        ({"channels": 3}, ChannelError, "channels as a list, got 3"),
        ({"channels": Channel("q")}, ChannelError, "channels as a list"),
        ({"redact": "x"}, OptionError, r"write \['x'\]"),
        ({"redact": [1]}, OptionError, r"redact as a list of names, got \[1\]"),
        ({"redact": 3}, OptionError, "redact as a list of names"),
        ({"name": 3}, OptionError, "name as text, got 3"),
        ({"run_id": 3}, RunIdError, "a run id as text, got 3"),
        ({"run_id": 3, "resume": True}, RunIdError, "a run id as text, got 3"),
        ({"seed": "x"}, FactsError, "seed as an integer, got 'x'"),
        ({"hyperparameters": 3}, OptionError, "hyperparameters as a dict, got 3"),
        ({"presentation": 3}, OptionError, "presentation as a dict, got 3"),
        ({"env_kwargs": [1]}, OptionError, r"env_kwargs as a dict, got \[1\]"),
        ({"observation_space": spaces.Text(3, charset="a\ud800")}, SpaceError, "ud800"),
    ],
)
def test_an_option_that_says_nothing_usable_is_refused_before_there_is_a_run(
    tmp_path, options, kind, words
):
    """Not on another thread later, where nobody would hear of it."""
    with pytest.raises(kind, match=words):
        new_recorder(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_a_runs_directory_that_is_no_path_is_refused(tmp_path):
    """None, as of a setting that was not given."""
    with pytest.raises(RunsDirError, match="runs_dir as a path, got None"):
        new_recorder(None)  # type: ignore[arg-type]


def test_a_path_that_no_file_system_takes_is_refused(tmp_path):
    """A NUL in it."""
    with pytest.raises(RunsDirError, match="null"):
        new_recorder(tmp_path / "a\0b")


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Any:
    """One recorder for tests that only ask what it refuses."""
    with new_recorder(tmp_path_factory.mktemp("runs")) as recorder:
        yield recorder


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"observations": [0, 1, "x"]}, SpaceError),
        ({"observations": [0, "x", 1]}, SpaceError),
        ({"actions": [0, 1, 2]}, ChannelError),
        ({"actions": [0]}, ChannelError),
        ({"channels": {"value": [1, 2]}}, ChannelError),
    ],
)
def test_an_episode_that_does_not_fit_leaves_nothing_behind(recording, changes, error):
    """The next one is taken; a misfit in the very last observation is found in time too."""
    fields: dict[str, Any] = {
        "observations": [0, 1, 2], "actions": [0, 1], "rewards": [1.0, 2.0], **changes,
    }  # fmt: skip
    with pytest.raises(error):
        recording(Episode(**fields))
    recording(Episode([0, 1, 2], [0, 1], [1.0, 2.0], terminated=True))


def test_a_seed_of_the_run_that_no_column_holds_is_refused_before_there_is_a_run(tmp_path):
    """A traceback half-way would leave a run that nobody can open."""
    with pytest.raises(FactsError, match="64 bits"):
        new_recorder(tmp_path / "runs", seed=1 << 64)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("shape", [(-1,), (1 << 40,), 4, (2.5,), "44", None])
def test_a_channel_of_no_possible_shape_is_refused_where_it_is_declared(shape):
    """Later, it would leave a run that nothing can record into."""
    with pytest.raises(ChannelError, match="shape like"):
        Channel("value", "float32", shape)


def test_a_runs_directory_that_is_a_file_is_refused(tmp_path):
    """With what to do."""
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunsDirError, match="choose another"):
        new_recorder(tmp_path / "runs")


def test_a_run_id_that_is_taken_is_refused_and_names_are_numbered(tmp_path):
    """Nothing is ever recorded over."""
    with new_recorder(tmp_path, run_id="mine") as first, new_recorder(tmp_path, name="A B") as b:
        with pytest.raises(RunExists, match="mine"):
            new_recorder(tmp_path, run_id="mine")
        with new_recorder(tmp_path, name="A B") as c:
            record_episode(first, [1.0])
            record_episode(b, [2.0])
            record_episode(c, [3.0])
    assert list_runs(tmp_path) == ["a-b", "a-b-2", "mine"]
    for recorded, reward in ((first, 1.0), (b, 2.0), (c, 3.0)):
        with open_run(recorded.path) as run:
            assert rewards_of(run, 0) == [reward]


# What it takes


@pytest.mark.usefixtures("packer")
def test_what_is_told_of_an_episode_is_read_back(tmp_path):
    """By `finish_episode` and with a whole episode; numpy's numbers like Python's."""
    facts: dict[str, Any] = {
        "epsilon": np.float32(0.5), "seed": np.int64(7), "stage": "maze", "tags": ("a", "b"),
    }  # fmt: skip
    with new_recorder(tmp_path) as recorder:
        assert record_episode(recorder, [1.0, 2.0], truncated=True, **facts) == 0
        recorder(
            Episode([0, 1], [0], [3.0], truncated=True, started_at=1000.0, duration_s=2.5, **facts)
        )
        assert record_episode(recorder, [4.0], terminated=False) == 2
        assert record_episode(recorder, [4.0], terminated=False, seed=1) == 3
        assert record_episode(recorder, [4.0], terminated=False, incomplete=True) == 4
    with open_run(recorder.path) as run:
        both, whole, *cut = (run.episode(number) for number in range(5))
        assert (both.ending, whole.ending) == ("terminated and truncated", "truncated")
        for summary in (both, whole):
            assert (summary.epsilon, summary.seed, summary.stage) == (0.5, 7, "maze")
            assert summary.tags == ("a", "b")
        assert (whole.started_at, whole.duration_s) == pytest.approx((1000.0, 2.5))
        assert both.duration_s >= 0
        # Neither terminated nor truncated: it was cut off, whatever the loop thinks.
        assert all(summary.incomplete for summary in cut)
        assert {summary.ending for summary in cut} == {"incomplete"}
        assert [summary.seed for summary in cut] == [None, 1, None]
        assert (cut[0].epsilon, cut[0].stage, cut[0].tags) == (None, None, ())


def test_the_time_between_episodes_is_not_the_episodes_own(tmp_path):
    """Where the loop says when one begins."""
    with new_recorder(tmp_path) as recorder:
        record_episode(recorder, [1.0])
        recorder.start_episode()
        record_episode(recorder, [1.0])
    with open_run(recorder.path) as run:
        first, second = run.episode(0), run.episode(1)
        assert second.started_at > first.started_at + first.duration_s


def test_rewards_that_are_no_number_are_kept_as_they_are(tmp_path):
    """NaN, infinities and -0.0, also where they are summed and listed."""
    odd = [math.nan, -math.nan, math.inf, -math.inf, -0.0, 5e-324]
    with new_recorder(tmp_path, commit_interval=0.0001) as recorder:
        for reward in odd:
            record_episode(recorder, [1.0, reward])
        record_episode(recorder, odd * 50)
        assert recorder.flush()
        assert recorder.stats.errors == 0
    with open_run(recorder.path) as run:
        for number, reward in enumerate(odd):
            assert same(rewards_of(run, number), [1.0, reward])
        assert same(rewards_of(run, len(odd)), odd * 50)
        listed = run.page(sort="best").episodes
        assert listed[0].episode_return == math.inf
        assert math.isnan(run.summary().return_100)


def test_what_was_flushed_is_there_for_others(tmp_path):
    """Steps, ends and events, also of an episode that still runs."""
    with new_recorder(tmp_path, commit_interval=3600) as recorder:
        assert recorder.flush()
        with open_run(recorder.path) as run:
            recorder.event("note", "before all", number=np.int64(3))
            assert recorder.flush()
            assert [(e.kind, e.data) for e in run.events()] == [("note", {"number": 3})]
            record_episode(recorder, [1.0, 2.0])
            recorder.record_step(5, 1, 3.0)
            assert recorder.flush()
            assert recorder.stats.episodes == 1
            assert recorder.stats.steps == 3
            assert run.info.status == "recording"
            assert rewards_of(run, 0) == [1.0, 2.0]
            assert run.newest().ending == "running"
            assert run.steps(1).columns["observation"].tolist() == [5]
            recorder.event("stage", "later")
            recorder.finish_episode(6, terminated=True)
            assert recorder.flush()
            assert run.episode(1).terminated
            assert run.events()[-1].global_step == 3
            assert run.events()[-1].episode == 1


@pytest.mark.usefixtures("packer")
def test_a_loop_that_is_faster_than_the_writer_loses_nothing(tmp_path, monkeypatch):
    """With room for 64 steps, it waits as often as it must."""
    monkeypatch.setattr(recorder.recorder, "BUFFER_STEPS", 64)
    with new_recorder(tmp_path) as rec:
        for number in range(40):
            for step in range(500):
                rec.record_step(step % STATES, 0, float(number))
            rec.finish_episode(0, terminated=True)
            rec(Episode([0] * 301, [1] * 300, [float(number)] * 300, truncated=True))
        assert rec.flush()
        assert rec.stats.steps == 40 * 800
    with open_run(rec.path) as run:
        for number in range(40):
            assert rewards_of(run, 2 * number) == [float(number)] * 500
            assert rewards_of(run, 2 * number + 1) == [float(number)] * 300


def test_the_run_knows_its_environment_and_where_it_came_from(tmp_path):
    """Without being told."""
    env = gym.make("gridworld:GridWorld-v0", difficulty="easy", slip_probability=0.1)
    with EpisodeRecorder(
        tmp_path,
        env=env,
        channels=(Q_VALUES, EXPLORED),
        algorithm="q-learning",
        hyperparameters={"alpha": np.float64(0.5), "layers": (1, 2)},
        seed=np.int64(5),
    ) as recorder:
        recorder.record_step(0, 0, 1.0, q_values=[0.0] * 4, explored=False)
        recorder.finish_episode(0, terminated=True)
    with open_run(recorder.path) as run:
        info = run.info
        assert info.run_id == recorder.run_id == recorder.path.name
        assert (info.env_id, info.algorithm, info.seed) == ("GridWorld-v0", "q-learning", 5)
        assert info.env_kwargs["slip_probability"] == 0.1
        assert info.hyperparameters == {"alpha": 0.5, "layers": [1, 2]}
        assert info.channels == (Q_VALUES, EXPLORED)
        assert info.presentation["kind"] == "grid"
        assert info.provenance["pid"] == os.getpid()
        assert info.provenance["python"].startswith(f"{sys.version_info.major}.")
        assert "numpy" in info.provenance["packages"]
        assert info.status == "finished"
        assert info.created_at <= info.ended_at


def test_an_environment_that_is_not_registered_is_called_as_its_class(tmp_path):
    """By whichever way in, and however it is wrapped."""

    class Rover(gym.Env[Any, Any]):
        observation_space, action_space = spaces.Discrete(STATES), spaces.Discrete(ACTIONS)

    def vector() -> Any:
        return gym.vector.SyncVectorEnv([Rover])

    ways = (
        lambda: EpisodeRecorder(tmp_path, env=Rover()),
        lambda: RecordEpisodes(gym.wrappers.TimeLimit(Rover(), 9), tmp_path).recorder,
        lambda: RecordVectorEpisodes(vector(), tmp_path).recorder,
    )
    for number, way in enumerate(ways, 1):
        with way() as recorder:
            assert recorder.run_id == ("rover" if number == 1 else f"rover-{number}")
        with open_run(recorder.path) as run:
            assert (run.info.name, run.info.env_id) == ("Rover", "Rover")


def test_what_was_to_hand_in_its_last_fails_and_the_run_is_closed_all_the_same(tmp_path):
    """Everybody is asked; what failed is raised when all is written."""
    told: list[str] = []
    recorder = new_recorder(tmp_path, run_id="run")
    recorder.record_step(0, 0, 1.0)

    def fail(word: str) -> None:
        told.append(word)
        raise ValueError(word)

    recorder.before_close(lambda: fail("first"))
    recorder.before_close(lambda: fail("last"))
    with pytest.raises(ValueError, match="first") as caught:
        recorder.close()
    assert told == ["last", "first"]
    assert str(caught.value.__context__) == "last"
    recorder.close()
    with open_run(recorder.path) as run:
        assert (run.info.status, run.counts().steps, run.is_recording()) == ("finished", 1, False)


@pytest.mark.parametrize("reward", ["1", "high", np.zeros(3), None, 1j])
def test_a_reward_that_is_none_is_told_what_it_is_to_be(recording, reward):
    """It is no channel that could be declared otherwise."""
    with pytest.raises(ChannelError, match="expected a reward as one number") as caught:
        recording.record_step(0, 0, reward)
    assert "declare" not in str(caught.value)


def test_a_callback_that_fails_costs_no_episode(tmp_path, caplog):
    """It is logged; neither the loop nor the tape sees it."""
    told: list[int | None] = []

    def callback(episode: Episode) -> None:
        told.append(episode.episode)
        raise RuntimeError("a bug of the user's")

    with new_recorder(tmp_path, live_stream_callback=callback) as recorder:
        for number in range(20):
            record_episode(recorder, [float(number)])
    assert told == list(range(20))
    assert "a bug of the user's" in caplog.text
    with open_run(recorder.path) as run:
        assert run.counts().episodes == 20


# How it ends


@pytest.mark.usefixtures("packer")
def test_steps_without_an_end_are_kept_as_an_incomplete_episode(tmp_path):
    """Never passed off as truncated; a run closed before its first step is a run too."""
    with new_recorder(tmp_path) as recorder:
        record_episode(recorder, [1.0])
        recorder.record_step(3, 1, 2.0)
        recorder.record_step(4, 1, 3.0)
    assert recorder.stats.episodes == 2
    with open_run(recorder.path) as run:
        assert run.counts().episodes == 2
        summary = run.episode(1)
        assert (summary.incomplete, summary.truncated, summary.terminated) == (True, False, False)
        assert not summary.running
        episode = run.load(1)
        assert episode.observations.tolist() == [3, 4]  # the one after the last is not known
        assert episode.rewards.tolist() == [2.0, 3.0]
    new_recorder(tmp_path, run_id="nothing").close()
    with open_run(tmp_path / "nothing") as run:
        assert run.info.status == "finished"
        assert run.newest() is None
        with pytest.raises(EpisodeNotFound):
            run.load(0)


@pytest.mark.parametrize("error", [RuntimeError("the loop failed"), KeyboardInterrupt()])
def test_an_error_in_the_loop_leaves_an_interrupted_run_with_all_that_was_recorded(tmp_path, error):
    """The error goes on to whoever handles it."""
    recorder = new_recorder(tmp_path)

    def train() -> None:
        with recorder:
            record_episode(recorder, [1.0])
            recorder.record_step(0, 0, 2.0)
            raise error

    with pytest.raises(type(error)):
        train()
    with open_run(recorder.path) as run:
        assert run.info.status == "interrupted"
        assert rewards_of(run, 0) == [1.0]
        assert run.episode(1).incomplete
        assert rewards_of(run, 1) == [2.0]


CHILD = """
import os, sys
from gymnasium import spaces
from recorder import EpisodeRecorder
recorder = EpisodeRecorder(
    sys.argv[1], run_id="run", observation_space=spaces.Discrete(1 << 40),
    action_space=spaces.Discrete(9),
)
def record(number):
    for step in range(1 + number * 7 % 40):
        recorder.record_step(number * 1000 + step, step % 9, float(number))
    recorder.finish_episode(number * 1000 + 999, terminated=True, seed=number)
"""


def child(runs_dir: Path, script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + script, str(runs_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for_lock(run_dir: Path) -> None:
    """Return when no process records into the run any more: a writer may outlive its trainer."""
    with (run_dir / LOCK_NAME).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)


def assert_episodes_of_child(run: Run, count: int) -> None:
    for number in range(count):
        episode = run.load(number)
        length = 1 + number * 7 % 40
        states = [number * 1000 + step for step in range(length)]
        assert episode.observations.tolist() == [*states, number * 1000 + 999]
        assert episode.rewards.tolist() == [float(number)] * length
        assert (episode.terminated, episode.seed) == (True, number)


def test_a_program_that_ends_without_close_keeps_everything(tmp_path):
    """As most scripts do."""
    ended = child(tmp_path, "for n in range(50): record(n)\nrecorder.record_step(1, 1, 1.0)\n")
    ended.communicate(timeout=60)
    assert ended.returncode == 0
    with open_run(tmp_path / "run") as run:
        assert run.info.status == "interrupted"
        assert_episodes_of_child(run, 50)
        assert run.episode(50).incomplete


def test_a_program_that_dies_of_an_exception_keeps_everything(tmp_path):
    """The traceback is its own."""
    ended = child(tmp_path, "for n in range(50): record(n)\nsys.stderr = None\n1 / 0\n")
    ended.communicate(timeout=60)
    assert ended.returncode == 1
    with open_run(tmp_path / "run") as run:
        assert run.info.status == "interrupted"
        assert_episodes_of_child(run, 50)


ACKNOWLEDGING = """
number = 0
while True:
    for _ in range(number % 5 + 1):
        record(number)
        number += 1
    recorder.record_step(0, 0, 1.0)
    if number % 3: recorder.event("note", str(number))
    assert recorder.flush()
    print(number, flush=True)
    recorder.record_step(1, 0, 1.0)
    recorder.finish_episode(0, truncated=True, seed=number)
    number += 1
"""


@pytest.mark.parametrize("seed", range(5))
def test_every_acknowledged_episode_survives_a_kill(tmp_path, seed):
    """Whenever it comes; no step of finishing up is needed, and nothing is damaged."""
    dice = random.Random(seed)
    trainer = child(tmp_path, ACKNOWLEDGING)
    assert trainer.stdout is not None
    for _ in range(dice.randint(1, 40)):
        acknowledged = int(trainer.stdout.readline())
    trainer.send_signal(signal.SIGTERM if seed == 4 else signal.SIGKILL)
    rest, _ = trainer.communicate(timeout=60)
    if rest.strip():
        acknowledged = int(rest.split()[-1])
    wait_for_lock(tmp_path / "run")
    with open_run(tmp_path / "run") as run:
        assert run.info.status == "crashed"
        assert run.counts().episodes >= acknowledged
        assert run.counts().lost_steps == 0
        for number in range(acknowledged):
            episode = run.load(number)
            assert episode.seed == number
            if episode.terminated:
                length = 1 + number * 7 % 40
                assert episode.rewards.tolist() == [float(number)] * length
                assert episode.observations[0] == number * 1000
            else:
                assert episode.rewards.tolist() == [1.0, 1.0]
        for number in range(acknowledged, run.newest().episode + 1):
            run.load(number)  # what came after the last word is whole too, or cut off
        assert len([s for s in run.page(limit=1000).episodes if s.running]) == 0


FORKING = """
record(0)
recorder.record_step(7, 0, 1.0)
pid = os.fork()
if pid == 0:
    try:
        recorder.record_step(8, 0, 1.0)
        recorder.finish_episode(8, terminated=True)
    except Exception:
        pass
    sys.exit(7)
_, status = os.waitpid(pid, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
recorder.record_step(9, 0, 1.0)
recorder.finish_episode(9, terminated=True, seed=1)
assert recorder.flush()
recorder.close()
"""


def test_a_forked_child_neither_writes_its_parents_run_nor_waits_for_it(tmp_path):
    """It ends by itself, with its own exit code, and the parent's run is the parent's."""
    parent = child(tmp_path, FORKING)
    parent.communicate(timeout=60)
    assert parent.returncode == 0
    with open_run(tmp_path / "run") as run:
        assert run.info.status == "finished"
        assert_episodes_of_child(run, 1)
        assert run.load(1).observations.tolist() == [7, 9, 9]
        assert run.counts().episodes == 2


def test_spaces_may_be_given_without_an_environment(tmp_path):
    """A loop that has no Gymnasium environment at hand."""
    with EpisodeRecorder(
        tmp_path,
        observation_space=spaces.Box(-1, 1, (2,)),
        action_space=spaces.MultiBinary(2),
        infos=True,
    ) as recorder:
        recorder.record_step([0.5, 0.25], [1, 0], 1, info={"lives": 3})
        recorder.finish_episode(np.zeros(2), terminated=True)
    with open_run(recorder.path) as run:
        episode = run.load(0)
        assert episode.observations.tolist() == [[0.5, 0.25], [0.0, 0.0]]
        assert episode.actions.tolist() == [[1, 0]]
        assert list(episode.infos) == [{"lives": 3}]
        assert run.info.env_id is None


@pytest.mark.parametrize("waits", ["for the live queue", "for a table"])
def test_what_is_told_of_is_looked_at_for_who_waits(tmp_path, monkeypatch, waits):
    """For the tape alone it would go by itself, and be looked at an hour later."""
    monkeypatch.setattr("recorder.whole_episodes.TOLD_LOOK_S", 3600.0)
    columns = [np.arange(5), np.zeros(5, np.int64), np.ones(5)]
    with EpisodeRecorder(
        tmp_path,
        observation_space=spaces.Discrete(9),
        action_space=spaces.Discrete(2),
        commit_interval=3600.0,
    ) as recorder:
        shown = threading.Event()
        add = recorder._pump._showcase.add

        def noted(*args):
            add(*args)
            shown.set()

        monkeypatch.setattr(recorder._pump._showcase, "add", noted)
        recorder.tell_of_work(True)
        for number in range(2):
            if waits == "for the live queue":
                recorder.live.drain()
            else:
                recorder.keyframe(np.zeros((9, 2)))
            recorder.put_off()
            recorder.steps_of(columns)(0, 5)
            recorder.finish_episode(5, terminated=True)
            recorder.hurry()
            assert shown.wait(timeout=30)
            shown.clear()
            if waits == "for the live queue":
                assert [episode.episode for episode in recorder.live.drain()] == [number]


def test_what_is_told_of_goes_at_once_also_where_full_blocks_go_by_themselves(
    tmp_path, monkeypatch
):
    """The rest would wait for a look, and looks are rarer where somebody tells."""
    monkeypatch.setattr("recorder.pump._FAST_S", 3600.0)
    recorder = EpisodeRecorder(
        tmp_path,
        observation_space=spaces.Box(0, 255, (1 << 17,), np.uint8),
        action_space=spaces.Discrete(2),
        commit_interval=60.0,
    )
    steps = recorder._capture.packer.block_steps + 3
    rows = [np.zeros((steps, 1 << 17), np.uint8), np.zeros(steps, np.int64), np.zeros(steps)]
    sent = threading.Semaphore(0)
    move = recorder._pump._link.move

    def noted(*args):
        sent.release()
        return move(*args)

    monkeypatch.setattr(recorder._pump._link, "move", noted)
    recorder.tell_of_work(True)
    for _ in range(3):
        recorder.put_off()
        recorder.steps_of(rows)(0, steps)
        recorder.hurry()
        while recorder._capture.packer.count:
            assert sent.acquire(timeout=10)
    recorder.close()
