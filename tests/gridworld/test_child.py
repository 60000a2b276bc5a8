"""`reel train --child`: the control protocol over real pipes, as docs/training.md has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Queue

import numpy as np
import pytest

from gridworld.checkpoints import World, newest
from gridworld.config import GridWorldConfig
from recorder import open_run

PATIENCE = 60
EASY = GridWorldConfig.preset("easy").desc
PROC = Path("/proc/self/fd")


class Trainer:
    """A child with its pipes; messages are taken from a queue as they come."""

    def __init__(self, runs_dir, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reel", "train", "--child", "--runs-dir", str(runs_dir),
             *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        self.messages: Queue = Queue()
        self.seen: list[dict] = []
        self.number = 0
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.messages.put(json.loads(line))
        self.messages.put(None)

    def until(self, fits):
        """The first message from here on that fits; all before it are kept in `seen`."""
        while True:
            message = self.messages.get(timeout=PATIENCE)
            assert message is not None, (self.seen, self.process.stderr.read())
            self.seen.append(message)
            if fits(message):
                return message

    def event(self, name, **facts):
        return self.until(
            lambda m: m.get("event") == name and all(m[key] == facts[key] for key in facts)
        )

    def send(self, command, **fields):
        self.number += 1
        line = json.dumps({"id": self.number, "command": command, **fields})
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.number

    def ask(self, command, **fields):
        """Send a command and return its answer or error."""
        number = self.send(command, **fields)
        return self.until(lambda m: number in (m.get("answer"), m.get("id")))

    def wait(self):
        """The exit code and what stands on stderr."""
        code = self.process.wait(PATIENCE)
        self.thread.join(PATIENCE)
        while (message := self.messages.get(timeout=PATIENCE)) is not None:
            self.seen.append(message)
        return code, self.process.stderr.read().decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.thread.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


def test_a_lesson_from_start_to_stop(tmp_path):
    """Steps, episodes, parameters, save, load, reset, stop; the tape says the same."""
    with Trainer(tmp_path, "--paused", "--episodes", 10**6, "--seed", 3) as child:
        started = child.event("started")
        assert (started["status"], started["parameters"]["seed"]) == ("paused", 3)
        assert child.ask("step", by=3) == {
            "answer": 1, "status": "stepping", "by": 3, "unit": "step",
        }  # fmt: skip
        assert child.event("update", status="paused", total_steps=3)["episode"] == 0
        child.ask("step", unit="episode")
        assert child.event("update", status="paused", episode=1)["total_steps"] > 3
        child.ask("step", by=2, unit="episode")
        child.event("update", status="paused", episode=3)
        answer = child.ask("set", learning_rate=0.5, epsilon=0.25)
        assert answer["parameters"]["learning_rate"] == 0.5
        child.event("parameters")
        saved = child.ask("save", name="early")
        assert (saved["name"], saved["episode"], saved["trained"]) == ("early", 3, 3)
        table = np.load(saved["path"], allow_pickle=False)
        assert table.shape == (25, 4)
        assert table.any()
        child.ask("resume")
        child.until(lambda m: m.get("event") == "update" and m["episode"] >= 50)
        assert child.ask("pause")["status"] == "paused"
        assert child.ask("load", name="early")["trained"] == 3
        child.event("load")
        assert child.ask("save", name="again")["name"] == "again"
        assert (np.load(tmp_path / "gridworld-easy-3/checkpoints/again.npy") == table).all()
        assert child.ask("reset")["status"] == "paused"
        child.event("reset")
        assert child.event("update", episode=0)["epsilon"] == 1.0
        assert child.ask("stop")["status"] == "stopping"
        stopped = child.event("stopped")
        assert child.wait() == (0, "")
    with open_run(tmp_path / "gridworld-easy-3") as run:
        kinds = [event.kind for event in run.events()]
        assert kinds == ["parameters", "checkpoint", "load", "checkpoint", "reset", "checkpoint"]
        (changed,) = [event for event in run.events() if event.kind == "parameters"]
        assert (changed.episode, changed.data["after"]["learning_rate"]) == (3, 0.5)
        assert run.episode(3).epsilon == 0.25
        assert run.info.status == "interrupted"
        assert run.counts().steps == stopped["steps"]


def test_a_training_that_runs_to_its_end_says_complete(tmp_path):
    """The totals are those of the tape, and the last message is the summary."""
    with Trainer(tmp_path, "--episodes", 300, "--eval-every", 100) as child:
        complete = child.event("complete")
        assert child.wait() == (0, "")
        assert child.seen[-1] == complete
    with open_run(complete["path"]) as run:
        assert (run.counts().episodes, run.counts().steps) == (300, complete["steps"])
        assert run.info.status == "finished"
    assert complete["final_epsilon"] == pytest.approx(0.995**300)
    assert complete["eval_return"] == 13.0
    assert child.seen[0]["event"] == "started"


def test_the_end_of_input_ends_it_unless_detached(tmp_path):
    """129 and an interrupted run; detached, it trains to its end."""
    with Trainer(tmp_path, "--paused") as child:
        child.event("started")
        child.process.stdin.close()
        assert child.event("stopped")["reason"] == "signal"
        assert child.wait() == (129, "")
    with Trainer(tmp_path, "--detach", "--episodes", 20) as child:
        child.process.stdin.close()
        assert child.event("complete")["episodes"] == 20
        assert child.wait() == (0, "")


def test_a_killed_child_leaves_a_good_tape(tmp_path):
    """What it had said was done is on the tape; the checkpoint is whole."""
    with Trainer(tmp_path, "--episodes", 10**7, "--checkpoint-every", 50) as child:
        path = child.event("started")["path"]
        child.until(lambda m: m.get("event") == "update" and m["episode"] > 2000)
        with open_run(path) as run:
            while run.counts().episodes < 1000:  # commits follow what is said by a moment
                time.sleep(0.01)
            there = run.counts().episodes
        child.process.kill()
        child.process.wait()
    found, problems = newest(Path(path), (25, 4), World("GridWorld-v0", EASY))
    assert problems == []
    assert found.facts.episode >= 2000
    result = subprocess.run(
        [sys.executable, "-m", "reel", "check", Path(path).name, "--runs-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    with open_run(path) as run:
        while run.is_recording():  # the writer outlives the trainer until all is on the tape
            time.sleep(0.01)
        assert run.info.status == "crashed"
        assert run.counts().episodes >= there


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--learning-rate", "nan"], "bad_value", "--learning-rate must be"),
        (["--env", "FrozenLak-v1"], "bad_input", "did you mean FrozenLake"),
        (["--load", "nowhere.npy"], "bad_checkpoint", "cannot be read"),
        (["--quota", "lots"], "bad_input", "--quota must be"),
    ],
)
def test_what_cannot_begin_says_so_to_both(tmp_path, arguments, code, message):
    """One error on standard output, one sentence on standard error, nothing made."""
    with Trainer(tmp_path / "runs", *arguments) as child:
        error = child.until(lambda m: "error" in m)
        exit_code, stderr = child.wait()
    assert (error["error"], error["id"], exit_code) == (code, None, 2)
    assert message in stderr
    assert len(stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_what_an_environment_prints_stays_out_of_the_protocol(tmp_path):
    """Standard output is the protocol's; the environment's goes to standard error."""
    (tmp_path / "noisy.py").write_text(
        "import os, gymnasium\nfrom gridworld.env import GridWorldEnv\n"
        "class Noisy(GridWorldEnv):\n"
        "    def reset(self, **more):\n"
        "        print('a reset'); os.write(1, b'raw')\n"
        "        return super().reset(**more)\n"
        "gymnasium.register('Noisy-v0', entry_point=Noisy)\n"
    )
    process = subprocess.run(
        [sys.executable, "-m", "reel", "train", "--child", "--detach", "--no-record",
         "--env", "noisy:Noisy-v0", "--episodes", "3"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(Path.cwd())))},
    )  # fmt: skip
    messages = [json.loads(line) for line in process.stdout.splitlines()]
    assert messages[-1]["event"] == "complete"
    assert process.stderr.count(b"a reset") == 3
    assert process.stderr.count(b"raw") == 3


@pytest.mark.skipif(not PROC.is_dir(), reason="counts descriptors in /proc")
def test_ten_starts_and_stops_leave_nothing_behind(tmp_path):
    """No process, no descriptor of ours, no lock: the next run could be resumed at once."""
    before = {path.name for path in PROC.iterdir()}
    others = set(children_of(os.getpid()))
    for number in range(10):
        with Trainer(tmp_path, "--paused", "--name", f"try {number}") as child:
            child.event("started")
            child.send("stop")
            path = child.event("stopped")["path"]
            assert child.wait() == (0, "")
        with open_run(path) as run:
            assert not run.is_recording()
            assert run.info.status == "interrupted"
    assert {path.name for path in PROC.iterdir()} == before
    assert set(children_of(os.getpid())) <= others


def children_of(pid):
    """Processes whose parent is `pid`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(stat.parent.name)
    return found
