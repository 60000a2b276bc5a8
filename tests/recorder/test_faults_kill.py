"""Killed at any instant: what was acknowledged is there, and each byte is what was written."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from faults_kit import PATIENCE_S, ROOT, Trainer, assert_whole, record
from recorder_kit import new_recorder

from recorder import link, open_run
from recorder.check import check_run


def times(short: int, full: int) -> list:
    """A short form for each day and the full count under `make torture`."""
    return [pytest.param(short, id="short"), pytest.param(full, marks=pytest.mark.torture)]


def torture(runs_dir: Path, kills: int, *options: str) -> None:
    """Kill trainer, writer or both again and again, and take the run up again."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    acknowledged: set[int] = set()
    done = 0
    while done < kills:
        trainer = Trainer(runs_dir, "run", chance.randrange(1 << 32), *options)
        writer = int(trainer.until("READY")[1])
        while chance.random() < 0.4 and done < kills:  # the writer alone: training goes on
            os.kill(writer, signal.SIGKILL)
            done += 1
            writer = int(trainer.until("WRITER")[1])
        trainer.until("ACK", chance.randrange(1, 12))
        trainer.kill(*([writer] if chance.random() < 0.5 else []))
        done += 1
        fresh = trainer.acknowledged - acknowledged
        assert fresh
        acknowledged |= fresh
        with open_run(trainer.path) as run:
            assert run.info.status == "crashed"
            assert_whole(run, sorted(fresh)[-50:])
            counts = run.counts()
            assert (counts.lost_episodes, counts.lost_steps) == (0, 0)
            if done >= kills:
                assert_whole(run, range(counts.episodes))
                assert max(acknowledged) < counts.episodes
        if chance.random() < 0.1 or done >= kills:
            assert check_run(trainer.path).findings == []


@pytest.mark.parametrize("kills", times(6, 200))
def test_no_acknowledged_episode_is_lost_to_kills(tmp_path, kills):
    """T1. Of the trainer, of the writer, of both at once; nothing else is lost either."""
    torture(tmp_path, kills)


@pytest.mark.parametrize("kills", times(4, 50))
def test_no_acknowledged_episode_is_lost_to_kills_during_checkpoints(tmp_path, kills):
    """T2. Each commit folds the WAL into the file, so that kills strike in the midst of it."""
    torture(tmp_path, kills, "checkpoints")


def test_a_killed_trainer_leaves_a_half_episode_that_is_marked_so(tmp_path):
    """The writer outlives it, writes what had reached it and ends the episode as cut off."""
    trainer = Trainer(tmp_path, "run", 0, "slowly")
    trainer.until("MIDST")
    trainer.kill()
    with open_run(trainer.path) as run:
        assert run.info.status == "crashed"
        assert run._rows("SELECT running, incomplete FROM episodes") == [(0, 1)]
        assert run.load(0).length == 1000
        assert_whole(run, [0])
    assert check_run(trainer.path).clean


def test_without_its_writer_too_the_half_episode_reads_as_incomplete(tmp_path):
    """Nobody was left to mark it; a reader knows that nobody goes on with it."""
    trainer = Trainer(tmp_path, "run", 0, "slowly")
    writer = int(trainer.until("MIDST")[1])
    trainer.kill(writer)
    with open_run(trainer.path) as run:
        assert run.newest().ending == "incomplete"
        assert_whole(run, [0])
    assert check_run(trainer.path).clean


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_episode_ends_training_soon_and_marks_the_part(tmp_path, number):
    """T5. `reel train` on an episode that lasts, so that it is the one that is cut off: a
    random walk down a long corridor, at five steps a second.
    """
    corridor = {"desc": ["S" + 60 * "." + "G"], "step_limit": 1_000_000}
    process = subprocess.Popen(
        [sys.executable, "-m", "reel", "train", "--episodes", "1000", "--name", "cut",
         "--runs-dir", str(tmp_path), "--steps-per-second", "5",
         "--env-kwargs", json.dumps(corridor)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until(lambda: (tmp_path / "cut" / "run.db").exists() and running_steps(tmp_path / "cut"))
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == 128 + number
    with open_run(tmp_path / "cut") as run:
        assert run.info.status == "interrupted"
        assert run.counts().episodes == 1
        assert run.newest().ending == "incomplete"
        assert run._rows("SELECT count(*) FROM episodes WHERE running = 1") == [(0,)]


def test_a_signal_that_nobody_handles_leaves_a_marked_part_too(tmp_path):
    """T5, for a loop that knows nothing of signals."""
    trainer = Trainer(tmp_path, "run", 0, "slowly")
    trainer.until("MIDST")
    trainer.process.terminate()
    assert trainer.end() == -signal.SIGTERM
    with open_run(trainer.path) as run:
        assert (run.info.status, run.newest().ending) == ("crashed", "incomplete")


def test_a_killed_writer_is_replaced_and_costs_nothing(tmp_path):
    """Whatever was on its way is sent again, events too, each once."""
    recorder = new_recorder(tmp_path, run_id="run")
    step = 0
    for episode in range(600):
        step = record(recorder, episode, step)
        if episode % 150 == 75:
            recorder.event("note", f"at {episode}")
            os.kill(recorder._pump.writer_pid, signal.SIGKILL)
            assert recorder.flush()
    os.kill(recorder._pump.writer_pid, signal.SIGKILL)
    recorder.record_step(step % 9, step % 4, 1.0)
    recorder.close()
    stats = recorder.stats
    assert (stats.episodes, stats.steps) == (601, step + 1)
    assert (stats.lost_episodes, stats.lost_steps, stats.errors) == (0, 0, 5)
    with open_run(recorder.path) as run:
        assert run.info.status == "finished"
        assert_whole(run, range(600))
        assert [event.text for event in run.events()] == [f"at {n}" for n in range(75, 600, 150)]
        assert run.newest().ending == "incomplete"
    assert check_run(recorder.path).clean


def test_what_no_reserve_could_hold_is_lost_with_the_writer_and_counted(tmp_path, monkeypatch):
    """The oldest goes; a gap tells which, and recording goes on behind it."""
    monkeypatch.setattr(link, "KEPT_BYTES", 20_000)
    recorder = new_recorder(tmp_path, run_id="run")
    step = record(recorder, 0, 0)
    assert recorder.flush()
    writer = recorder._pump.writer_pid
    os.kill(writer, signal.SIGSTOP)  # what it is sent stays in the pipe
    for episode in range(1, 3000):
        step = record(recorder, episode, step)
        if episode % 100 == 0:
            recorder._pump.wake()
            until(lambda: recorder._capture.packer.count == 0)
    os.kill(writer, signal.SIGKILL)
    assert not recorder.flush()  # a loss is no success
    step = record(recorder, 3000, step)
    assert recorder.flush()
    recorder.close()
    stats = recorder.stats
    assert stats.lost_episodes > 1000
    assert stats.episodes + stats.lost_episodes == 3001
    assert stats.steps + stats.lost_steps == step
    with open_run(recorder.path) as run:
        counts = run.counts()
        assert (counts.lost_episodes, counts.lost_steps) == (stats.lost_episodes, stats.lost_steps)
        assert (counts.episodes, counts.steps) == (stats.episodes, stats.steps)
        (gap,) = run.events()
        assert (gap.kind, gap.data["steps"]) == ("gap", stats.lost_steps)
        assert_whole(run, [0, *range(gap.data["to_episode"] + 2, 3001)])
    assert check_run(recorder.path).clean


def test_without_any_writer_training_goes_on_and_ends(tmp_path, monkeypatch):
    """No process can be started: nothing waits for one, and all is counted as lost."""
    monkeypatch.setattr(link, "command", lambda run_dir: [sys.executable, "-c", ""])
    monkeypatch.setattr(link, "_BACKOFF_S", 0.001)
    recorder = new_recorder(tmp_path, run_id="run")
    step = 0
    for episode in range(200):
        step = record(recorder, episode, step)
    assert not recorder.flush()
    recorder.close()
    stats = recorder.stats
    assert (stats.episodes, stats.lost_episodes, stats.lost_steps) == (0, 200, step)
    assert stats.errors > 1


@pytest.mark.parametrize("kills", times(4, 50))
def test_a_kill_during_migration_leaves_one_version_or_the_other(tmp_path, kills):
    """T2. Each step and the raising of the version are one transaction."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    recorder = new_recorder(tmp_path, run_id="run")
    step = 0
    for episode in range(300):
        step = record(recorder, episode, step)
    recorder.close()
    file = recorder.path / "run.db"
    program = (
        "import sys, sqlite3\nfrom recorder import schema\n"
        "def step(version):\n"
        "    def run(c):\n"
        "        c.execute('UPDATE episodes SET seed = ? ', (version + 1,))\n"
        "        c.execute('UPDATE run SET seed = ?', (version + 1,))\n"
        "    return run\n"
        "schema.VERSION = 1000\n"
        "schema.MIGRATIONS.update({n: step(n) for n in range(1, 1000)})\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "print('go', flush=True)\n"
        "schema.migrate(c)\n"
    )
    for _ in range(kills):
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute("PRAGMA user_version = 1")
        connection.execute("UPDATE run SET seed = 1")
        connection.execute("UPDATE episodes SET seed = 1")
        connection.close()
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(file)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        process.stdout.readline()
        threading.Event().wait(chance.random() * 0.05)  # any instant, not a certain one
        process.kill()
        process.communicate()
        connection = sqlite3.connect(file)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        assert connection.execute("SELECT seed FROM run").fetchall() == [(version,)]
        assert connection.execute("SELECT DISTINCT seed FROM episodes").fetchall() == [(version,)]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


def running_steps(path: Path) -> bool:
    with open_run(path) as run:
        newest = run.newest()
        return newest is not None and newest.length > 0


def until(condition) -> None:
    """Wait for something that another process or thread does."""
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen in 30 s")
