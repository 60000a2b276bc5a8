"""The writing side of a tape: what a commit leaves on the disk, and what a failed one does."""

from __future__ import annotations

import itertools
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder_kit import Bench, assert_episode_of_bench, never

from recorder import open_run
from recorder.schema import TABLES
from recorder.tape import Event


def everything(bench: Bench) -> dict[str, list]:
    """All rows of all tables."""
    return {
        table: bench.connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES
    }


def test_the_open_segment_is_written_again_longer_with_each_commit(tmp_path):
    """A slow run is seen at once, and does not end as thousands of tiny segments."""
    bench = Bench(tmp_path / "run")
    with open_run(bench.path) as run:
        for commit in range(1, 6):
            bench.tape.commit([bench.piece(3)])
            assert bench.segments() == [(0, 3 * commit)]
            assert run.steps(0).columns["observation"].tolist() == list(range(3 * commit))
            assert run.counts().steps == 3 * commit


def test_many_short_episodes_share_a_segment(tmp_path):
    """A thousand episodes of one step each."""
    bench = Bench(tmp_path / "run")
    for _ in range(10):
        bench.tape.commit([bench.piece(100, range(1, 101))])
    assert bench.segments() == [(0, 1000)]
    with open_run(bench.path) as run:
        assert run.counts().episodes == 1000
        for number in (0, 1, 99, 100, 500, 999):
            assert_episode_of_bench(run, number, number, number + 1)


def test_a_long_episode_spans_segments_that_open_alone(tmp_path):
    """Each of at most a fixed size; any stretch of the episode is read back."""
    bench = Bench(tmp_path / "run")
    bench.tape.segments.full = 16
    for _ in range(10):
        bench.tape.commit([bench.piece(20)])
    bench.tape.commit([bench.piece(0, [0])])
    segments = bench.segments()
    assert len(segments) > 10
    assert all(1 <= count <= 16 for _, count in segments)
    with open_run(bench.path) as run:
        assert_episode_of_bench(run, 0, 0, 200)
        for start, stop in [(0, 1), (15, 17), (16, 16), (40, 90), (199, 200), (200, 200)]:
            steps = run.steps(0, start, stop)
            assert steps.columns["observation"].tolist() == list(range(start, stop))
            assert steps.final_observation == (200 if stop == 200 else None)
            assert steps.return_before == sum(step % 7 - 3 for step in range(start))


@st.composite
def takes(draw: st.DrawFn) -> list[list[tuple[int, list[int]]]]:
    """Commits, each of a few takes: how many steps, and behind which of them episodes end."""
    commits = []
    open_steps = False
    for _ in range(draw(st.integers(1, 6))):
        pieces = []
        for _ in range(draw(st.integers(1, 3))):
            steps = draw(st.sampled_from([0, 1, 2, 3, 15, 16, 17, 40]))
            lowest = 0 if open_steps else 1
            some = st.integers(lowest, max(steps, lowest))
            ends = sorted(draw(st.sets(some, max_size=5))) if steps >= lowest else []
            if steps or ends:
                pieces.append((steps, ends))
                open_steps = (ends[-1] if ends else 0) < steps or (open_steps and not ends)
        commits.append(pieces)
    return commits


@given(takes())
@settings(max_examples=60)
def test_whatever_comes_the_tape_is_whole_and_has_no_empty_segment(tmp_path_factory, commits):
    """Segments abut, each holds something, and each episode is read back, also while it runs."""
    bench = Bench(tmp_path_factory.mktemp("tape") / "run")
    bench.tape.segments.full = 16
    bounds = [0]
    with open_run(bench.path) as run:
        for pieces in commits:
            made = []
            for steps, ends in pieces:
                bounds += [bench.position + end for end in ends]
                made.append(bench.piece(steps, ends))
            bench.tape.commit(made)
            segments = bench.segments()
            assert all(count > 0 for _, count in segments)
            assert sum(count for _, count in segments) == bench.position == run.counts().steps
            assert [first for first, _ in segments] == [
                sum(count for _, count in segments[:at]) for at in range(len(segments))
            ]
            for number, (first, stop) in enumerate(itertools.pairwise(bounds)):
                assert_episode_of_bench(run, number, first, stop)
            assert run.counts().episodes == len(bounds) - 1
            if bench.position > bounds[-1]:  # nobody holds the run, so it counts as cut off
                assert run.newest().ending == "incomplete"
                assert_episode_of_bench(run, len(bounds) - 1, bounds[-1], bench.position)
    bench.tape.close()


def script(bench: Bench) -> list[tuple]:
    """Commits that touch every table: arguments for `Tape.commit`."""
    note = Event(1.0, 0, 0, "note", "hello", {"a": 1})
    return [
        ([bench.piece(5)], [], {"provenance": '{"a": 1}'}),
        ([bench.piece(20, [2, 9]), bench.piece(30, [0, 30])], [note], {}),
        ([], [note], {}),
        ([bench.piece(70, range(1, 70, 2))], [], {"status": "finished"}),
    ]


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database or disk is full"),
        sqlite3.OperationalError("disk I/O error"),
        OSError(28, "No space left on device"),
        MemoryError(),
    ],
)
def test_a_commit_that_failed_anywhere_left_nothing_and_may_be_made_again(tmp_path, error):
    """At the Nth statement, for every N there is: the tape ends as if nothing had been."""
    clean = Bench(tmp_path / "clean" / "run")  # the id is part of the row's checksum
    clean.tape.segments.full = 16
    for arguments in script(clean):
        clean.tape.commit(*arguments)
    calls = clean.connection.calls
    assert calls > 15
    whole = everything(clean)
    for n in range(1, calls + 1):
        bench = Bench(tmp_path / str(n) / "run")
        bench.tape.segments.full = 16
        connection = bench.connection
        connection.fails = lambda call, _, n=n: error if call == n else None
        failures = 0
        for arguments in script(bench):
            before = everything_unless_failing(bench)
            try:
                bench.tape.commit(*arguments)
            except type(error):
                failures += 1
                assert everything_unless_failing(bench) == before
                bench.tape.commit(*arguments)
        assert failures == 1
        assert everything(bench) == whole
        bench.tape.close()


def everything_unless_failing(bench: Bench) -> dict[str, list]:
    """All rows, without counting the looks as calls."""
    calls, fails = bench.connection.calls, bench.connection.fails
    bench.connection.fails = never
    rows = everything(bench)
    bench.connection.calls, bench.connection.fails = calls, fails
    return rows


def test_a_disk_that_fails_for_a_while_rollback_included_is_got_over(tmp_path):
    """Not even undoing works; the next commit that can be made is whole."""
    for n in range(1, 8):
        bench = Bench(tmp_path / str(n))
        down = range(n, n + 6)
        bench.connection.fails = lambda call, _, down=down: (
            sqlite3.OperationalError("disk I/O error") if call in down else None
        )
        pieces = [bench.piece(5, [3]), bench.piece(2, [1])]
        for _ in range(10):
            try:
                bench.tape.commit(pieces)
                break
            except sqlite3.OperationalError:
                pass
        else:
            pytest.fail("the tape stays broken")
        bench.connection.fails = never
        with open_run(bench.path) as run:
            assert_episode_of_bench(run, 0, 0, 3)
            assert_episode_of_bench(run, 1, 3, 6)
            assert run.counts().episodes == 2


def test_a_disk_that_is_really_full_fails_a_commit_and_harms_nothing(tmp_path):
    """SQLite's own error, from its own limit on the size of the file."""
    bench = Bench(tmp_path / "run")
    bench.tape.commit([bench.piece(50, [50])])
    pages = bench.connection.execute("PRAGMA page_count").fetchone()[0]
    bench.connection.execute(f"PRAGMA max_page_count = {pages}")
    pieces = [bench.piece(3000, range(1, 3001))]
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="full"):
            bench.tape.commit(pieces)
    with open_run(bench.path) as run:
        assert run.counts().episodes == 1
        assert_episode_of_bench(run, 0, 0, 50)
        bench.connection.execute("PRAGMA max_page_count = 1000000")
        bench.tape.commit(pieces)
        assert run.counts().episodes == 3001
        assert_episode_of_bench(run, 3000, 3049, 3050)


def test_a_running_episode_becomes_the_finished_one_in_the_same_row(tmp_path):
    """It is listed while it runs, once."""
    bench = Bench(tmp_path / "run")
    bench.tape.commit([bench.piece(4)])
    bench.tape.commit([bench.piece(4, [2], epsilon=0.25, seed=3, stage="a", tags=("x", "y"))])
    with open_run(bench.path) as run:
        page = run.page(sort="oldest")
        assert [(s.episode, s.first_step, s.length) for s in page.episodes] == [
            (0, 0, 6),
            (1, 6, 2),
        ]
        first = run.episode(0)
        assert (first.epsilon, first.seed, first.stage, first.tags) == (0.25, 3, "a", ("x", "y"))
        assert first.terminated
        assert not first.running


def test_a_nan_reward_early_in_a_long_episode_is_no_obstacle(tmp_path):
    """The return so far stands with each segment, and SQLite has no NaN."""
    bench = Bench(tmp_path / "run")
    bench.tape.segments.full = 16
    take = bench.take(40)
    take["columns"]["reward"][3] = float("nan")
    bench.tape.commit([bench.assembler.add(**take)])
    bench.tape.commit([bench.piece(40)])
    bench.tape.commit([bench.piece(40, [40])])
    with open_run(bench.path) as run:
        assert run.load(0).rewards[4] == 1.0
        assert str(run.steps(0, 60, 70).return_before) == "nan"
        assert run.steps(0, 2, 3).return_before == -5.0
        assert str(run.episode(0).episode_return) == "nan"
