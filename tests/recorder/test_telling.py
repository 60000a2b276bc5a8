"""When the writer says what became of the work: what is lost at once, what is well now and then."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from recorder_kit import new_recorder, record_episode

from recorder import link, open_run
from recorder.telling import TELL_BYTES, TELL_S, Telling
from recorder.writer import Counters


def told(telling: Telling, counters: Counters, now: float) -> bool:
    due = telling.is_due(counters, now)
    if due:
        telling.tell(counters, now)
    return due


def begun() -> tuple[Telling, Counters]:
    """A telling whose writer has started, and committed for the first time at 10.0."""
    telling, counters = Telling(), Counters()
    assert told(telling, counters, 9.9)
    counters.steps = counters.settled_steps = 1
    assert told(telling, counters, 10.0)
    return telling, counters


def test_a_writer_tells_how_it_begins_and_its_first_commit_at_once():
    """By that the other side knows that it can write."""
    telling, counters = begun()
    assert not told(telling, counters, 99.0)  # nothing is new


def test_commits_are_told_a_second_apart():
    telling, counters = begun()
    counters.settled_steps += 1
    assert not told(telling, counters, 10.0 + TELL_S - 0.001)
    assert told(telling, counters, 10.0 + TELL_S)
    counters.settled_events += 1
    assert not told(telling, counters, 10.0 + 2 * TELL_S - 0.001)
    assert told(telling, counters, 10.0 + 2 * TELL_S)


@pytest.mark.parametrize("name", ["errors", "lost_steps", "lost_episodes"])
def test_what_is_lost_or_goes_wrong_is_told_at_once(name):
    telling, counters = begun()
    setattr(counters, name, 1)
    assert told(telling, counters, 10.001)
    assert not told(telling, counters, 10.002)


def test_where_much_comes_commits_are_told_at_once():
    """The other side keeps what came until then."""
    telling, counters = begun()
    counters.settled_steps += 1
    telling.came(TELL_BYTES - 1)
    assert not told(telling, counters, 10.1)
    telling.came(1)
    assert told(telling, counters, 10.1)
    counters.settled_steps += 1
    assert not told(telling, counters, 10.2)


def test_the_last_commit_is_told_though_nothing_follows_it(tmp_path):
    """Also where it came too soon after the one before, and nobody flushes."""
    with new_recorder(tmp_path, commit_interval=0.01) as recorder:
        for count in range(1, 4):
            record_episode(recorder, [1.0])
            until(lambda count=count: recorder._pump._link._place.position == count)
        until(lambda: recorder.stats.episodes == 3)


def test_what_was_committed_and_not_yet_told_is_not_counted_as_lost(tmp_path, monkeypatch):
    """Where the writer dies before the next word of it, and none can be had in its place."""
    recorder = new_recorder(tmp_path, commit_interval=0.01)
    for count in range(1, 4):
        record_episode(recorder, [1.0, 2.0])
        with open_run(recorder.path) as run:
            until(lambda run=run, count=count: run.counts().episodes == count)
    monkeypatch.setattr(link, "command", lambda run_dir: [sys.executable, "-c", ""])
    monkeypatch.setattr(link, "_BACKOFF_S", 0.001)
    os.kill(recorder._pump.writer_pid, signal.SIGKILL)
    record_episode(recorder, [1.0])
    recorder.close()
    stats = recorder.stats
    assert (stats.episodes, stats.steps, stats.lost_episodes, stats.lost_steps) == (3, 6, 1, 1)


def until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
