"""A trainer that is there to be killed, and what must be true of its run afterwards.

Run as a program it records episodes whose every value follows from the global step, and
prints what it was told is committed: `ACK <episodes>` after `flush()` returned True. What
reached the pipe before it died was acknowledged before it died.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent.parent
STATES, ACTIONS = 9, 4
PATIENCE_S = 60


def rewards_at(first: int, stop: int) -> list[float]:
    """Rewards of global steps `[first, stop)`."""
    return ((np.arange(first, stop) * 7919) % 101 / 8 - 3).tolist()


def length_of(episode: int) -> int:
    return 1 + episode * 7919 % 13


def record(recorder: Any, episode: int, step: int) -> int:
    """Record one whole episode; return the global step behind it."""
    length = length_of(episode)
    for at, reward in enumerate(rewards_at(step, step + length), step):
        recorder.record_step(at % STATES, at % ACTIONS, reward)
    stop = step + length
    assert recorder.finish_episode(stop % STATES, terminated=True, epsilon=0.5) == episode
    return stop


def assert_whole(run: Any, numbers: Any) -> None:
    """Episodes are there, each step as it was recorded."""
    for number in numbers:
        episode = run.load(number)
        first, stop = episode.first_step, episode.first_step + episode.length
        assert episode.rewards.tolist() == rewards_at(first, stop)
        observations = [at % STATES for at in range(first, stop + (not episode.incomplete))]
        assert episode.observations.tolist() == observations
        assert episode.actions.tolist() == [at % ACTIONS for at in range(first, stop)]
        if not episode.incomplete:
            assert episode.length == length_of(number)


class ByHand:
    """In the place of the module `time`: a clock that moves by what is slept, and not else."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Trainer:
    """This module as a program, recording until it is killed."""

    def __init__(self, runs_dir: Path, run_id: str, seed: int, *options: str) -> None:
        self.path = runs_dir / run_id
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(runs_dir), run_id, str(seed), *options],
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.acknowledged: set[int] = set()
        self._watchdog = threading.Timer(PATIENCE_S, self.process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def word(self) -> list[str]:
        """The next line that it prints; empty when it is gone."""
        words = self.process.stdout.readline().split()
        if words and words[0] == "ACK":
            self.acknowledged.update(range(int(words[1]), int(words[2])))
        return words

    def until(self, word: str, times: int = 1) -> list[str]:
        """Read until a word was said so often."""
        while times:
            words = self.word()
            assert words, f"the trainer ended before it said {word}"
            times -= words[0] == word
        return words

    def kill(self, *pids: int) -> None:
        """Kill it and others at once; hear what it had said; wait until the run is free."""
        for pid in (self.process.pid, *pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.end()

    def end(self) -> int:
        """Hear it out; wait until nobody records the run."""
        from recorder import runlock

        while self.word():
            pass
        code = self.process.wait(PATIENCE_S)
        self._watchdog.cancel()
        self.process.stdout.close()
        free = threading.Event()
        for _ in range(PATIENCE_S * 100):
            if not runlock.is_held(self.path):
                return code
            free.wait(0.01)
        raise AssertionError("the writer did not end")


def say(*words: Any) -> None:
    """One line, at once: what is said has happened."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def main() -> None:
    from gymnasium import spaces

    from recorder import EpisodeRecorder, link

    logging.basicConfig(level=logging.CRITICAL)
    runs_dir, run_id, seed, *options = sys.argv[1:]
    if "checkpoints" in options:  # as many as there are commits
        command = (
            "import sys, sqlite3, recorder.tape as t; old = t.Tape.__init__\n"
            "def new(self, *a, **k):\n"
            "    old(self, *a, **k); self._execute('PRAGMA wal_autocheckpoint = 1')\n"
            "t.Tape.__init__ = new\n"
            "from recorder.scribe import main; main()"
        )
        link.command = lambda run_dir: [sys.executable, "-c", command, str(run_dir)]
    chance = random.Random(int(seed))
    recorder = EpisodeRecorder(
        runs_dir,
        run_id=run_id,
        resume=(Path(runs_dir) / run_id).exists(),
        observation_space=spaces.Discrete(STATES),
        action_space=spaces.Discrete(ACTIONS),
        commit_interval=0.002,
    )
    episode, step = recorder._capture.packer.episode, recorder._first_step
    told = episode
    say("READY", recorder._pump.writer_pid)
    writer = recorder._pump.writer_pid
    while "slowly" not in options:
        for _ in range(chance.choice([1, 3, 20, 300])):
            step = record(recorder, episode, step)
            episode += 1
        if recorder.flush():
            say("ACK", told, episode)
            told = episode
        if recorder._pump.writer_pid != writer and recorder._pump.writer_pid is not None:
            writer = recorder._pump.writer_pid
            say("WRITER", writer)
    for at, reward in enumerate(rewards_at(step, step + 1000), step):
        recorder.record_step(at % STATES, at % ACTIONS, reward)
    recorder.flush()
    say("MIDST", recorder._pump.writer_pid)
    threading.Event().wait()


if __name__ == "__main__":
    main()
