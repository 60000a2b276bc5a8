"""`reel train` as a person or a program runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from click.testing import CliRunner

from gridworld.commands import train
from gridworld.stopping import StopRequest
from recorder import EpisodeRecorder, list_runs, open_run


def invoke(*args):
    return CliRunner().invoke(train, [str(arg) for arg in args])


def trained(runs_dir, *args):
    """Run with --json and return the summary."""
    result = invoke("--runs-dir", runs_dir, "--json", *args)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_summary_agrees_with_the_tape(tmp_path):
    """One line of JSON; run id, path, episodes, steps and mean return are those recorded."""
    result = invoke("--runs-dir", tmp_path / "new" / "runs", "--episodes", 150, "--json")
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    summary = json.loads(result.stdout)
    assert list_runs(tmp_path / "new" / "runs") == [summary["run_id"]]
    run = open_run(summary["path"])
    counts = run.counts()
    assert (counts.episodes, counts.steps) == (summary["episodes"], summary["steps"])
    assert summary["episodes"] == 150
    assert (summary["lost_episodes"], summary["lost_steps"]) == (0, 0)
    assert summary["incomplete"] is False
    assert summary["seconds"] > 0
    last = [run.load(n).rewards.sum() for n in range(50, 150)]
    assert summary["mean_return_100"] == pytest.approx(np.mean(last))
    run.close()


def test_the_tape_says_what_the_run_was(tmp_path):
    """Environment, presentation, algorithm, hyperparameters, seed and channels."""
    summary = trained(
        tmp_path, "--difficulty", "medium", "--map-seed", 7, "--hazards", "--episodes", 5,
        "--seed", 3, "--learning-rate", 0.2, "--discount", 0.9, "--epsilon", 0.8,
        "--epsilon-decay", 0.9, "--epsilon-min", 0.1,
    )  # fmt: skip
    run = open_run(summary["path"])
    info = run.info
    run.close()
    assert summary["run_id"] == "gridworld-medium-map7-hazards-3"
    assert info.env_id == "GridWorld-v0"
    assert info.env_kwargs == {"difficulty": "medium", "map_seed": 7, "hazards": True}
    env = gym.make(info.env_id, **info.env_kwargs)
    assert info.presentation == env.unwrapped.presentation
    assert (info.algorithm, info.seed, info.status) == ("q-learning", 3, "finished")
    assert info.hyperparameters == {
        "learning_rate": 0.2,
        "discount": 0.9,
        "epsilon": 0.8,
        "epsilon_decay": 0.9,
        "epsilon_min": 0.1,
    }
    assert {c.name: c.shape for c in info.channels} == {"q_values": (4,), "explored": ()}


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"])
def test_gymnasiums_toy_texts_are_recorded_as_grids(tmp_path, env_id):
    """Each trains, and its tape carries the grid that draws it."""
    summary = trained(tmp_path, "--env", env_id, "--episodes", 3)
    run = open_run(summary["path"])
    assert run.info.presentation["kind"] == "grid"
    assert run.counts().episodes == 3
    run.close()


def test_the_same_command_records_the_same_run_under_a_new_id(tmp_path):
    """Same seed, same steps; the first run is not overwritten."""
    first, second = (trained(tmp_path, "--episodes", 30, "--name", "Twins") for _ in range(2))
    assert first["run_id"] == "twins"
    assert first["run_id"] != second["run_id"]
    assert first["mean_return_100"] == second["mean_return_100"]
    one, two = open_run(first["path"]), open_run(second["path"])
    for n in range(30):
        a, b = one.load(n), two.load(n)
        assert a.observations.tolist() == b.observations.tolist()
        assert a.channels["q_values"].tolist() == b.channels["q_values"].tolist()
    one.close()
    two.close()


def test_no_record_writes_nothing(tmp_path):
    """The runs directory is not even made; run_id and path are null."""
    summary = trained(tmp_path / "runs", "--episodes", 5, "--no-record")
    assert (summary["run_id"], summary["path"], summary["episodes"]) == (None, None, 5)
    assert not (tmp_path / "runs").exists()


def test_a_person_is_told_what_to_type_next(tmp_path):
    """Episodes, the path, and `reel serve` for that directory."""
    result = invoke("--runs-dir", tmp_path, "--episodes", 5)
    assert result.exit_code == 0
    assert "Trained 5 episodes" in result.stdout
    assert str(tmp_path / "gridworld-easy-0") in result.stdout
    assert f"reel serve --runs-dir {tmp_path}" in result.stdout
    assert result.stderr == "", "no bar where there is no terminal"


def test_epsilon_zero_needs_no_second_option(tmp_path):
    """The default floor gives way to a lower epsilon."""
    assert trained(tmp_path, "--epsilon", 0, "--episodes", 2, "--no-record")["episodes"] == 2


class BoxAction(gym.Env):
    """Discrete observations and a continuous action: half of what a table needs."""

    observation_space = gym.spaces.Discrete(2)
    action_space = gym.spaces.Box(-1, 1)


@pytest.fixture
def box_action():
    """`BoxAction-v0`, registered for one test."""
    gym.register("BoxAction-v0", entry_point=BoxAction)
    yield
    del gym.registry["BoxAction-v0"]


BAD = {
    "unknown environment": (["--env", "FrozenLak-v1"], "but got 'FrozenLak-v1'; did you mean Froz"),
    "nothing like it": (["--env", "qqqqqqqq"], "choose for example GridWorld-v0"),
    "old version": (["--env", "Taxi-v3"], "did you mean Taxi-v4"),
    "malformed id": (["--env", "a b!"], "registered with Gymnasium, but got 'a b!'"),
    "unknown module": (["--env", "no_such:Foo-v0"], "needs a package that is not there (No mod"),
    "continuous observations": (["--env", "CartPole-v1"], "a Discrete observation space, but got"),
    "continuous actions": (["--env", "BoxAction-v0"], "a Discrete action space, but got Box"),
    "negative episodes": (["--episodes", "-5"], "from 1 to 1,000,000,000, but got -5"),
    "no episodes": (["--episodes", "0"], "--episodes must be a whole number from 1"),
    "text for a number": (["--episodes", "many"], "'many' is not a valid integer"),
    "negative seed": (["--seed", "-1"], "--seed must be a whole number from 0 to"),
    "huge seed": (["--seed", str(2**70)], str(2**70)),
    "unknown difficulty": (["--difficulty", "extreme"], "--difficulty must be one of easy, medium"),
    "difficulty elsewhere": (["--env", "Taxi-v4", "--difficulty", "hard"], "must be left out wi"),
    "hazards elsewhere": (["--env", "Taxi-v4", "--hazards"], "than GridWorld-v0, but got True"),
    "map seed elsewhere": (["--env", "Taxi-v4", "--map-seed", "1"], "--map-seed must be left out"),
    "learning rate 0": (["--learning-rate", "0"], "--learning-rate must be a number above 0"),
    "learning rate NaN": (["--learning-rate", "nan"], "at most 1, but got nan"),
    "discount": (["--discount", "1.01"], "--discount must be a number from 0 to 1, but got 1.01"),
    "epsilon": (["--epsilon", "-0.1"], "--epsilon must be a number from 0 to 1, but got -0.1"),
    "epsilon infinite": (["--epsilon", "inf"], "--epsilon must be a number from 0 to 1"),
    "decay": (["--epsilon-decay", "0"], "--epsilon-decay must be a number above 0"),
    "floor above": (["--epsilon", ".1", "--epsilon-min", ".2"], "--epsilon-min must be at most"),
    "rate": (["--steps-per-second", "0"], "--steps-per-second must be a number above 0"),
    "rate infinite": (["--steps-per-second", "inf"], "above 0, but got inf; leave it out"),
    "rate NaN": (["--steps-per-second", "nan"], "--steps-per-second must be a number above 0"),
}  # fmt: skip


@pytest.mark.usefixtures("box_action")
@pytest.mark.parametrize(("args", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_in_a_sentence(tmp_path, args, message):
    """Exit code 2, what was expected and what came, no traceback, nothing written."""
    result = invoke("--runs-dir", tmp_path / "runs", *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert not (tmp_path / "runs").exists()


def test_a_runs_directory_that_is_a_file_is_refused(tmp_path):
    """The file keeps its contents."""
    file = tmp_path / "runs"
    file.write_text("mine")
    for runs_dir in (file, file / "below"):
        result = invoke("--runs-dir", runs_dir, "--episodes", 5)
        assert result.exit_code == 2
        assert "--runs-dir must be a directory that can be written to" in result.stderr
        assert "is not a directory" in result.stderr
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_runs_directory_that_cannot_be_written_is_refused(tmp_path):
    """Named, before any training."""
    tmp_path.chmod(0o500)
    result = invoke("--runs-dir", tmp_path, "--episodes", 5)
    tmp_path.chmod(0o700)
    assert result.exit_code == 2
    assert "cannot be written to" in result.stderr


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a directory none can write to")
def test_a_runs_directory_that_cannot_be_made_is_refused():
    """Where looking says yes and making says no, the sentence is the same kind."""
    result = invoke("--runs-dir", "/proc/reel-runs", "--episodes", 5)
    assert result.exit_code == 2
    assert "/proc/reel-runs" in result.stderr
    assert "Traceback" not in result.output


# The trainer that gets a signal. Its environment says when it is in the middle of the third
# episode and then takes no further step until the signal has come, so nothing depends on time.
TRAINER = """
import os, signal, sys
import gymnasium
from gridworld.commands import train
from gridworld.env import GridWorldEnv

class Waits(GridWorldEnv):
    episodes = 0

    def reset(self, **kwargs):
        self.episodes += 1
        self.steps = 0
        return super().reset(**kwargs)

    def step(self, action):
        self.steps += 1
        if self.episodes == 3 and self.steps == 4:
            signals, wakeup = os.pipe()
            os.set_blocking(wakeup, False)
            signal.set_wakeup_fd(wakeup)  # Python writes a byte there at each signal
            print("in the third episode", file=sys.stderr, flush=True)
            os.read(signals, 1)
        return super().step(action)

gymnasium.register("Waits-v0", entry_point=Waits)
train(["--env", "Waits-v0", "--episodes", "1000", *sys.argv[1:]])
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)
def test_a_signal_ends_training_cleanly(tmp_path, number, code):
    """Finished episodes are kept, the one under way is incomplete, the summary is printed."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(TRAINER), "--json", "--runs-dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stderr.readline() == "in the third episode\n"
        # As a terminal does it: the whole process group gets the Ctrl-C.
        os.killpg(process.pid, number)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == code, stderr
    assert stderr == ""
    summary = json.loads(stdout)
    assert (summary["episodes"], summary["incomplete"]) == (2, True)
    assert (summary["lost_episodes"], summary["lost_steps"]) == (0, 0)
    run = open_run(summary["path"])
    assert run.info.status == "interrupted"
    assert run.counts().steps == summary["steps"]
    assert [run.episode(n).incomplete for n in range(run.counts().episodes)] == [False, False, True]
    last = run.load(2)
    assert len(last.actions) == 4
    assert len(last.observations) == 5
    run.close()


def test_a_second_signal_is_not_held_back():
    """The first gives the handlers back, so that a second Ctrl-C ends the process."""
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGTERM)
        assert stop()
        assert stop.exit_code == 143
        assert signal.getsignal(signal.SIGINT) is before
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with StopRequest():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_hangup_that_is_ignored_stays_so():
    """`nohup reel train` outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("lost", [{"lost_episodes": 2}, {"lost_steps": 7}])
def test_what_could_not_be_recorded_fails_the_command(tmp_path, monkeypatch, lost):
    """The summary is printed all the same; a script sees it by the exit code."""

    class Loses(EpisodeRecorder):
        @property
        def stats(self):
            return replace(super().stats, **lost)

    monkeypatch.setattr("gridworld.starting.EpisodeRecorder", Loses)
    result = invoke("--runs-dir", tmp_path, "--episodes", 3, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["episodes"] == 3
    assert len(result.stderr.splitlines()) == 1
    assert "are not recorded" in result.stderr


def test_reel_names_the_command():
    """`reel train` is this command; its help names every option."""
    result = subprocess.run(
        [sys.executable, "-m", "reel", "train", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for parameter in train.params:
        if getattr(parameter, "hidden", False):
            continue
        assert parameter.opts[0] in result.stdout


def test_a_bar_is_drawn_on_a_terminal(tmp_path):
    """On a pseudo-terminal, stderr carries the bar with the newest figures."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "reel", "train", "--no-record", "--episodes", "50", "--json"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    drawn = b""
    try:
        while chunk := os.read(ours, 4096):
            drawn += chunk
    except OSError:  # Linux's way of saying that the other end is closed
        pass
    os.close(ours)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(stdout)["episodes"] == 50
    assert b"50/50" in drawn
    assert b"(last 50)" in drawn
