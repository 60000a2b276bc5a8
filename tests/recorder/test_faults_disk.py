"""The disk fails in the midst of recording: training goes on, losses are exact, it ends by itself.

T3 and T4 from end to end, through a writer's process; `test_writer.py` has the statements.
"""

from __future__ import annotations

import logging
import resource
import sqlite3
import sys

import pytest
from faults_kit import assert_whole, record
from recorder_kit import new_recorder

import recorder.writer
from recorder import link, open_run
from recorder.check import check_run
from recorder.pump import Pump

FAILING = """
import sqlite3, sys
import recorder.tape as t, recorder.writer as w
w.RETRY_S = 0.01
fail_at, error, calls = int(sys.argv[2]), sys.argv[3], 0

class Connection:
    def __init__(self, inner):
        self._inner = inner
    def execute(self, statement, values=()):
        global calls
        calls += 1
        if calls == fail_at:
            if error == "crash":
                raise RuntimeError("a fault of ours")
            raise sqlite3.OperationalError(error)
        return self._inner.execute(statement, values)
    def __getattr__(self, name):
        return getattr(self._inner, name)

old = t.Tape.__init__
def new(self, run_dir, layout, connect=sqlite3.connect):
    old(self, run_dir, layout, lambda *a, **k: Connection(connect(*a, **k)))
t.Tape.__init__ = new
from recorder.scribe import main
main()
"""


def times(short, full):
    return [pytest.param(short, id="short"), pytest.param(full, marks=pytest.mark.torture)]


@pytest.mark.parametrize("error", ["database or disk is full", "disk I/O error", "crash"])
@pytest.mark.parametrize("calls", times([1, 5, 9, 14, 20, 27], range(1, 61)))
def test_a_failure_at_any_call_of_the_database_loses_nothing(
    tmp_path, monkeypatch, caplog, error, calls
):
    """T3. In the writer's process, its start included: where it dies of it, another takes over."""
    caplog.set_level(logging.CRITICAL)
    failed = 0
    for fail_at in calls:
        first = [True]  # a writer that takes over meets a database that is well

        def command(run_dir, first=first, fail_at=fail_at):
            at = fail_at if first.pop() else -1
            first.append(False)
            return [sys.executable, "-c", FAILING, str(run_dir), str(at), error]

        monkeypatch.setattr(link, "command", command)
        recorder = new_recorder(tmp_path, run_id=f"run-{fail_at}", commit_interval=0.001)
        step = 0
        for episode in range(40):
            step = record(recorder, episode, step)
            if episode % 10 == 9:
                recorder.flush()
        recorder.event("note")
        recorder.close()
        stats = recorder.stats
        assert (stats.episodes, stats.steps, stats.lost_steps) == (40, step, 0)
        failed += stats.errors > 0
        with open_run(recorder.path) as run:
            assert_whole(run, range(40))
            assert run.info.status == "finished"
            assert [event.kind for event in run.events()] == ["note"]
        assert check_run(recorder.path).clean
    assert failed >= min(len(calls), 20)


@pytest.mark.parametrize("episodes", times(2000, 20_000))
def test_a_full_disk_that_is_freed_again(tmp_path, monkeypatch, caplog, episodes):
    """T4. The system refuses the writer's process each further byte, and then no more.

    Training waits for nothing. What did not fit the reserve is counted exactly, what did is on
    the tape, and recording goes on.
    """
    wait, waits = Pump.wait_for_room, []

    def noted(pump: Pump, limit: int) -> None:
        waits.append(limit)
        wait(pump, limit)

    monkeypatch.setattr(Pump, "wait_for_room", noted)
    caplog.set_level(logging.CRITICAL)
    command = (
        "import sys, recorder.writer as w\n"
        "w.PENDING_STEPS, w.RETRY_S = 2000, 0.02\n"
        "from recorder.scribe import main; main()"
    )
    monkeypatch.setattr(link, "command", lambda path: [sys.executable, "-c", command, str(path)])
    # A module that is compiled while no more can be written would be cut short too.
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    recorder_ = new_recorder(tmp_path, run_id="run", commit_interval=0.005)
    step, episode = 0, 0

    def train(count: int) -> None:
        nonlocal step, episode
        for _ in range(count):
            step = record(recorder_, episode, step)
            episode += 1

    train(episodes)
    assert recorder_.flush()
    pid = recorder_._pump.writer_pid
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
    train(episodes)
    assert not recorder_.flush()
    assert recorder_.stats.errors > 0
    assert waits == []
    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    train(10)
    for _ in range(1000):
        if recorder_.flush():
            break
    else:
        pytest.fail("recording did not resume")
    train(episodes)
    assert recorder_.flush()
    recorder_.close()
    stats = recorder_.stats
    assert stats.lost_steps > 0
    assert stats.episodes + stats.lost_episodes == episode
    assert stats.steps + stats.lost_steps == step
    with open_run(recorder_.path) as run:
        counts = run.counts()
        assert (counts.lost_episodes, counts.lost_steps) == (stats.lost_episodes, stats.lost_steps)
        assert (counts.episodes, counts.steps) == (stats.episodes, stats.steps)
        gaps = run.events()
        assert {event.kind for event in gaps} == {"gap"}
        assert sum(gap.data["steps"] for gap in gaps) == stats.lost_steps
        assert sum(gap.data["episodes"] for gap in gaps) == stats.lost_episodes
        assert_whole(run, range(episodes))
        assert_whole(run, range(episode - episodes, episode))
    assert check_run(recorder_.path).clean


def test_sqlite_says_full_in_two_ways(tmp_path, monkeypatch):
    """`SQLITE_FULL` and `SQLITE_IOERR_WRITE`: what T3 raises is what they look like."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    connection.execute("CREATE TABLE a (b)")
    connection.execute("PRAGMA max_page_count = 3")
    with pytest.raises(sqlite3.OperationalError, match="database or disk is full"):
        connection.execute("INSERT INTO a VALUES (zeroblob(100000))")
    connection.execute("PRAGMA max_page_count = 1000")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(sqlite3.OperationalError, match=r"disk I/O error|disk is full"):
            connection.execute("INSERT INTO a VALUES (zeroblob(1000000))")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        connection.close()
    assert recorder.writer.RETRY_S > 0
