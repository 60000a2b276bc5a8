"""When the tape cannot be written: training goes on, the loss is counted, and it ends by itself.

The writer's clock is the test's; nothing here waits.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable

import pytest
from recorder_kit import Bench, assert_episode_of_bench, never, reward_at

import recorder.writer
from recorder import DamagedTape, open_run
from recorder.assemble import Running
from recorder.tape import Event
from recorder.writer import RETRY_S, Writer

FULL = sqlite3.OperationalError("database or disk is full")
IO_ERROR = sqlite3.OperationalError("disk I/O error")


class Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Fed:
    """A writer on a `Bench`, fed with episodes of five steps, two a take."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.clock = Clock()
        self.writer = Writer(bench.tape, bench.assembler, 0.1, self.clock)

    def feed(self, takes: int = 1) -> None:
        for _ in range(takes):
            self.writer.add(**self.bench.take(10, [5, 10]))

    def fail(self, error: Exception | Callable[[int, str], Exception | None]) -> None:
        """From now on, statements that begin or end a transaction fail, or those chosen."""
        if isinstance(error, Exception):
            self.bench.connection.fails = lambda _, statement: (
                error if statement.startswith(("BEGIN", "COMMIT")) else None
            )
        else:
            self.bench.connection.fails = error

    def recover(self) -> None:
        self.bench.connection.fails = never

    @property
    def counted(self) -> tuple[int, int, int, int]:
        c = self.writer.counters
        return c.episodes, c.steps, c.lost_episodes, c.lost_steps


@pytest.fixture
def fed(tmp_path) -> Fed:
    return Fed(Bench(tmp_path / "run"))


@pytest.fixture
def small_reserve(monkeypatch) -> None:
    """At most 50 steps, ten episodes, are held back."""
    monkeypatch.setattr(recorder.writer, "PENDING_STEPS", 50)


def test_a_commit_is_due_an_interval_after_the_last(fed):
    """Just before, nothing; then, at once."""
    assert fed.writer.wait_s() is None
    fed.feed()
    fed.clock.now += 0.09
    assert fed.writer.wait_s() == pytest.approx(0.01)
    fed.writer.tick()
    assert fed.counted == (0, 0, 0, 0)
    fed.clock.now += 0.02
    assert fed.writer.wait_s() == 0
    fed.writer.tick()
    assert fed.counted == (2, 10, 0, 0)
    assert fed.writer.wait_s() is None
    fed.writer.add_event(Event(1.0, 0, 0, "note"))
    fed.clock.now += 0.2
    fed.writer.tick()
    with open_run(fed.bench.path) as run:
        assert [event.kind for event in run.events()] == ["note"]


def test_much_work_is_committed_before_its_time(fed, monkeypatch):
    """What gathers is bounded, however long the interval."""
    monkeypatch.setattr(recorder.writer, "TAKE_STEPS", 30)
    fed.feed(2)
    assert fed.counted == (0, 0, 0, 0)
    fed.feed(1)
    assert fed.counted == (6, 30, 0, 0)


@pytest.mark.parametrize(
    "error", [FULL, IO_ERROR, OSError(28, "No space left on device"), TypeError("a fault of ours")]
)
def test_after_a_failure_the_next_try_waits_and_then_nothing_is_missing(fed, error, caplog):
    """Nothing that fits the reserve is lost, whatever the error; each failure is logged."""
    fed.feed()
    fed.fail(error)
    assert not fed.writer.commit()
    assert fed.writer.counters.errors == 1
    assert "training goes on" in caplog.text
    fed.feed()
    assert not fed.writer.commit()  # not tried: it is too soon
    assert fed.writer.counters.errors == 1
    assert fed.writer.wait_s() == pytest.approx(RETRY_S)
    fed.recover()
    fed.clock.now += RETRY_S
    assert fed.writer.commit()
    assert fed.counted == (4, 20, 0, 0)
    with open_run(fed.bench.path) as run:
        for number in range(4):
            assert_episode_of_bench(run, number, 5 * number, 5 * number + 5)
        assert run.events() == []
        assert (run.counts().lost_episodes, run.counts().lost_steps) == (0, 0)


def test_a_failure_at_any_statement_loses_nothing_once_it_is_over(tmp_path, caplog):
    """At the Nth, for every N there is; each is one error, and all episodes are there."""
    caplog.set_level(logging.CRITICAL)
    n = 0
    while True:
        n += 1
        fed = Fed(Bench(tmp_path / str(n)))
        fed.fail(lambda call, _, n=n: FULL if call == n else None)
        for _ in range(4):
            fed.feed()
            fed.writer.commit()
            fed.clock.now += RETRY_S
        fed.writer.change(status="finished")
        written = fed.writer.commit(last=True)
        failed = fed.writer.counters.errors
        fed.recover()
        with open_run(fed.bench.path) as run:
            assert run.counts().episodes == fed.writer.counters.episodes
            assert run.counts().steps == fed.writer.counters.steps
            assert fed.counted == (8, 40, 0, 0)
            assert run.info.status == ("finished" if written else "crashed")
            for number in range(8):
                assert_episode_of_bench(run, number, 5 * number, 5 * number + 5)
        fed.bench.tape.close()
        if not failed:
            break
        assert failed == 1
    assert n > 20


@pytest.mark.usefixtures("small_reserve")
def test_a_full_disk_costs_the_oldest_work_counted_exactly_and_recording_resumes(fed):
    """SQLite's own error. The gap is marked on the timeline and told where it is read."""
    fed.feed(2)
    assert fed.writer.commit()
    pages = fed.bench.connection.execute("PRAGMA page_count").fetchone()[0]
    fed.bench.connection.execute(f"PRAGMA max_page_count = {pages}")
    # More than the pages that are there can hold.
    fed.writer.add(**fed.bench.take(4000, range(1, 4001)))
    for _ in range(8):
        fed.feed()
        fed.clock.now += RETRY_S
        fed.writer.commit()
    fed.bench.connection.execute("PRAGMA max_page_count = 100000")
    fed.clock.now += RETRY_S
    assert fed.writer.commit()

    fed.feed(1)
    assert fed.writer.commit()
    c = fed.writer.counters
    assert c.errors > 0
    assert c.lost_steps == 4000 + 10 * (c.lost_episodes - 4000) // 2
    assert c.steps + c.lost_steps == fed.bench.position
    assert c.episodes + c.lost_episodes == 4 + 4000 + 8 * 2 + 2
    with open_run(fed.bench.path) as run:
        counts = run.counts()
        assert (counts.episodes, counts.steps) == (c.episodes, c.steps)
        assert (counts.lost_episodes, counts.lost_steps) == (c.lost_episodes, c.lost_steps)
        (gap,) = run.events()
        assert gap.kind == "gap"
        assert (gap.episode, gap.global_step) == (4, 20)
        assert gap.data == {
            "steps": c.lost_steps,
            "episodes": c.lost_episodes,
            "to_step": 20 + c.lost_steps,
            "to_episode": 4 + c.lost_episodes - 1,
        }
        listed = [summary.episode for summary in run.page(sort="oldest", limit=10_000).episodes]
        assert listed == [0, 1, 2, 3, *range(4 + c.lost_episodes, 4 + 4000 + 18)]
        for number in listed:
            first = 5 * number if number < 4 else 20 + 4000 + 5 * (number - 4004)
            assert_episode_of_bench(run, number, first, first + 5)


@pytest.mark.usefixtures("small_reserve")
def test_an_episode_that_lost_its_beginning_says_so_where_it_is_missing(fed):
    """Its end could be written, its first steps could not: they are not passed over."""
    fed.feed()
    fed.writer.commit()
    fed.fail(FULL)
    fed.writer.add(**fed.bench.take(40))  # the beginning of one, which will be lost
    fed.writer.commit()
    fed.writer.add(**fed.bench.take(20, [10, 20]))
    fed.writer.commit()
    assert fed.counted == (2, 10, 0, 40)
    fed.recover()
    fed.clock.now += RETRY_S
    assert fed.writer.commit()
    with open_run(fed.bench.path) as run:
        summary = run.episode(2)
        assert (summary.length, summary.terminated) == (50, True)
        with pytest.raises(DamagedTape, match="lost"):
            run.load(2)
        with pytest.raises(DamagedTape, match="lost"):
            run.steps(2, 10, 50)
        rest = run.steps(2, 45, 50)  # what is there is shown for what it is
        assert rest.columns["observation"].tolist() == list(range(55, 60))
        assert rest.return_before == reward_at(range(10, 55)).sum()
        assert_episode_of_bench(run, 3, 60, 70)
        assert run.counts().steps == 30


@pytest.mark.usefixtures("small_reserve")
def test_an_episode_whose_end_was_lost_while_it_ran_is_not_running_for_ever(fed):
    """Its first steps were on the tape already, and newer episodes stand behind it."""
    fed.writer.add(**fed.bench.take(10))
    fed.writer.commit()
    fed.fail(FULL)
    fed.writer.add(**fed.bench.take(40, [10]))
    fed.writer.add(**fed.bench.take(20, [10, 20]))
    fed.writer.commit()
    fed.recover()
    fed.clock.now += RETRY_S
    assert fed.writer.commit()
    assert fed.writer.counters.lost_episodes == 1
    with open_run(fed.bench.path) as run:
        assert run.episode(0).ending == "incomplete"
        assert run.load(0).length == 10


@pytest.mark.usefixtures("small_reserve")
def test_two_losses_are_two_gaps_and_their_sum_stands_with_the_run(fed):
    """Each told when it could be written again."""
    for _ in range(2):
        fed.fail(IO_ERROR)
        fed.feed(8)
        fed.writer.commit()
        fed.recover()
        fed.clock.now += RETRY_S
        assert fed.writer.commit()
    assert fed.counted == (20, 100, 12, 60)
    with open_run(fed.bench.path) as run:
        assert [event.data["steps"] for event in run.events()] == [30, 30]
        assert [event.global_step for event in run.events()] == [0, 80]
        assert (run.counts().lost_episodes, run.counts().lost_steps) == (12, 60)
        assert run.counts().steps == 100


def test_what_cannot_be_written_at_the_end_is_counted_as_lost(fed):
    """There is no other chance."""
    fed.feed(3)
    fed.fail(FULL)
    assert not fed.writer.commit(last=True)
    assert fed.counted == (0, 0, 6, 30)
    c = fed.writer.counters
    assert (c.settled_episodes, c.settled_steps) == (6, 30)


def test_what_was_let_go_at_the_end_is_told_on_the_tape(fed):
    """And how the run ended, where it was the steps themselves that could not be written."""
    fed.feed(3)
    fed.writer.change(status="finished")
    fed.fail(lambda _, statement: FULL if "segments" in statement else None)
    assert not fed.writer.commit(last=True)
    fed.recover()
    with open_run(fed.bench.path) as run:
        assert (run.counts().lost_episodes, run.counts().lost_steps) == (6, 30)
        assert [event.kind for event in run.events()] == ["gap"]
        assert run.info.status == "finished"


def test_events_and_changes_outlast_a_failure_and_are_written_once(fed):
    """They are not steps, and nothing of them is let go."""
    fed.writer.add_event(Event(1.0, 0, 0, "note", "first"))
    fed.writer.change(status="finished")
    fed.fail(FULL)
    assert not fed.writer.commit()
    fed.writer.add_event(Event(2.0, 0, 0, "note", "second"))
    fed.recover()
    fed.clock.now += RETRY_S
    assert fed.writer.commit()
    assert fed.writer.commit()
    with open_run(fed.bench.path) as run:
        assert [event.text for event in run.events()] == ["first", "second"]
        assert run.info.status == "finished"


@pytest.mark.parametrize("failing", [False, True])
def test_steps_on_both_sides_of_a_hole_stay_on_their_sides(fed, failing):
    """Something was lost before it reached the writer, while other work still waited."""
    fed.feed()
    if failing:
        fed.fail(FULL)
    fed.writer.miss(10, 7, 2, 1)
    fed.recover()
    fed.clock.now += RETRY_S
    fed.bench.position += 7
    fed.bench.assembler.skip_to(Running(3, 17))
    fed.feed()
    assert fed.writer.commit()
    if failing:  # the disk as well: what waited is lost too, and counted
        assert fed.counted == (2, 10, 3, 17)
    else:
        assert fed.counted == (4, 20, 1, 7)
    with open_run(fed.bench.path) as run:
        if not failing:
            assert_episode_of_bench(run, 0, 0, 5)
            assert_episode_of_bench(run, 1, 5, 10)
        assert_episode_of_bench(run, 3, 17, 22)
        assert_episode_of_bench(run, 4, 22, 27)
        assert [event.data["steps"] for event in run.events()] == [17 if failing else 7]
        assert run.counts().steps == fed.writer.counters.steps
