"""`reel rollout`: greedy episodes from the newest checkpoint, and from newer ones."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner

from gridworld import checkpoints
from gridworld.checkpoints import Facts, World, save
from gridworld.rollout_command import rollout
from recorder import list_runs, open_run

DESC = ("S..G",)
WORLD = World("GridWorld-v0", DESC)


def table_towards(action):
    table = np.zeros((4, 4))
    table[:, action] = 1.0
    return table.tolist()


def put(folder, name, action, episode=0, world=WORLD, when=None):
    """A checkpoint whose greedy action is the same everywhere."""
    path = folder / f"{name}.npy"
    facts = Facts(world, "sarsa", episode, episode, env_kwargs={"desc": list(DESC)})
    save(path, table_towards(action), facts)
    if when is not None:
        os.utime(path, ns=(when, when))
    return path


def invoke(tmp_path, *arguments):
    return CliRunner().invoke(rollout, ["--runs-dir", str(tmp_path / "runs"), *map(str, arguments)])


def test_it_plays_what_the_table_says_and_records_it(tmp_path):
    """Never exploring, with the table's own rows."""
    put(tmp_path, "one", 1)
    result = invoke(tmp_path, tmp_path, "--episodes", 3, "--steps-per-second", 1e6)
    assert result.exit_code == 0, result.output
    (run_id,) = list_runs(tmp_path / "runs")
    with open_run(tmp_path / "runs" / run_id) as run:
        assert run.counts().episodes == 3
        episode = run.load(2)
        assert episode.actions.tolist() == [1, 1, 1]
        assert not episode.channels["explored"].any()
        assert episode.channels["q_values"].tolist() == [[0.0, 1.0, 0.0, 0.0]] * 3
        assert (run.info.algorithm, run.info.status) == ("greedy", "finished")


def test_a_table_that_walks_against_a_wall_ends_its_episodes(tmp_path):
    """Truncated: they would go on for ever."""
    put(tmp_path, "one", 0)
    kwargs = json.dumps({"desc": list(DESC), "step_limit": None})
    result = invoke(
        tmp_path, tmp_path, "--episodes", 1, "--steps-per-second", 1e6, "--env", "GridWorld-v0",
        "--env-kwargs", kwargs,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (run_id,) = list_runs(tmp_path / "runs")
    with open_run(tmp_path / "runs" / run_id) as run:
        assert run.episode(0).truncated


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "DIRECTORY must be that of a run"),
        ([".", "--env-kwargs", "{}"], "--env-kwargs goes with --env only"),
        ([".", "--env", "Taxi-v4"], "must have shape (500, 6), as Taxi-v4"),
        ([".", "--env", "Tax-v4"], "did you mean Taxi-v4"),
        ([".", "--steps-per-second", "nan"], "--steps-per-second must be"),
    ],
)
def test_what_cannot_be_played_is_refused(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "one", 1)
    result = invoke(tmp_path, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "runs").exists()


def test_it_waits_for_the_first_and_moves_on_to_newer_ones(tmp_path):
    """Half-written and foreign ones are passed over with a warning; it ends with its input."""
    folder = tmp_path / "a-run" / checkpoints.FOLDER
    folder.mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "reel", "rollout", str(tmp_path / "a-run"), "--child",
         "--steps-per-second", "300", "--runs-dir", str(tmp_path / "runs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    messages: queue.Queue = queue.Queue()

    def read():
        for line in process.stdout:
            messages.put(json.loads(line))

    reader = threading.Thread(target=read)
    reader.start()

    def expect(event):
        message = messages.get(timeout=60)
        assert message["event"] == event
        return message

    try:
        expect("waiting")
        put(folder, "first", 1, 10)
        run_id = expect("started")["run_id"]
        assert expect("checkpoint")["trained"] == 10
        (folder / "half.npy").write_bytes((folder / "first.npy").read_bytes()[:100])
        assert "half.npy" in expect("warning")["message"]
        put(folder, "other", 1, 15, World("GridWorld-v0", ("S#.G",)))
        assert "other.npy" in expect("warning")["message"]
        put(folder, "second", 3, 20)
        assert expect("checkpoint")["name"] == "second"
        with open_run(tmp_path / "runs" / run_id) as run:
            before = run.newest().episode
            while run.newest().episode < before + 3:
                time.sleep(0.02)
        process.stdin.close()
        expect("stopped")
        assert process.wait(60) == 129
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        for pipe in (process.stdout, process.stderr):
            pipe.close()
    with open_run(tmp_path / "runs" / run_id) as run:
        events = [event for event in run.events() if event.kind == "checkpoint"]
        assert [event.data["trained"] for event in events] == [10, 20]
        change = events[1].episode
        assert set(run.load(change - 1).actions) == {1}
        assert set(run.load(change).actions) == {3}
