"""What a policy keeps is read back exactly, what it does not keep is gone, at any moment."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from recorder_kit import (
    EXPLORED,
    Q_VALUES,
    Bench,
    assert_episode_of_bench,
    new_recorder,
    record_episode,
    reward_at,
)

from recorder import PolicyError, Run, StepsNotKept, open_run
from recorder.codec import NO_FINAL, Segment, decode, encode
from recorder.describe import describe
from recorder.judge import Judge
from recorder.keeping import Keeping
from recorder.layout import Layout
from recorder.policies import every, stages, when
from recorder.policy_text import parse_policy
from recorder.pruning import BLANK, CUT_STEPS, Gone, Ruling, blank_rows, without
from recorder.writer import Writer

POLICIES = [
    "every 10",
    "every 2",
    "every 100",
    "all",
    "length > 100000",
    "top 1% of 30 | bottom 1% of 30",
    "stages 3 before 4 after",
    "first 3",
    "every 3 & length > 5",
    "stages 50 before 1 after | every 40",
]
LAYOUT = Layout(describe(spaces.Discrete(1 << 40)), describe(spaces.Text(9)))


# --- one segment ----------------------------------------------------------------------


def segment_of(first_step: int, lengths: list[int], ended: bool) -> Segment:
    """Episodes of these lengths, the last one ended or not; a packed column among them."""
    count = sum(lengths)
    ends = np.cumsum(lengths)[: len(lengths) if ended else -1]
    steps = np.arange(first_step, first_step + count)
    actions = np.empty(count, dtype=object)
    actions[:] = [str(step).encode() for step in steps]
    return Segment(
        first_step,
        {"observation": steps, "action": actions, "reward": reward_at(steps)},
        ends.astype(np.int64),
        np.ones(len(ends), np.uint8),
        {"final_observation": ends + first_step},
    )


@given(
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=12),
    st.booleans(),
    st.integers(0, 50),
)
def test_what_is_left_of_a_segment_opens_alone_and_is_exact(episodes, ended, first_step):
    lengths = [length for length, _ in episodes]
    segment = segment_of(first_step, lengths, ended)
    stops = first_step + np.cumsum(lengths)
    bounds = list(zip(stops - lengths, stops, strict=True))
    gone = [bounds[n] for n, (_, goes) in enumerate(episodes) if goes]
    if not ended and episodes[-1][1]:
        gone.pop()  # what runs is never decided against
    stays = [bound for bound in bounds if bound not in gone]

    left = without(segment, 2.5, Gone.of(gone))
    again = [decode(LAYOUT, s.first_step, s.count, encode(LAYOUT, s)) for s, _ in left]

    assert all(piece.count > 0 for piece in again)
    found = 0
    for piece, (_, before) in zip(again, left, strict=True):
        low, high = piece.first_step, piece.first_step + piece.count
        inside = [bound for bound in stays if low <= bound[0] and bound[1] <= high]
        assert inside
        # Trimmed to what is kept, at both ends.
        assert (low, high) == (inside[0][0], inside[-1][1])
        assert before == (2.5 if low == first_step else 0.0)
        for start, stop in inside:
            rows = slice(start - low, stop - low)
            assert piece.columns["observation"][rows].tolist() == list(range(start, stop))
            assert piece.columns["action"][rows].tolist() == [
                str(step).encode() for step in range(start, stop)
            ]
            assert piece.columns["reward"][rows].tolist() == reward_at(range(start, stop)).tolist()
            if stop in (segment.ends + first_step).tolist():
                place = piece.ends.tolist().index(stop - low)
                assert piece.flags[place] == 1
                assert piece.finals["final_observation"][place] == stop
        # Nothing of what is gone is there, and the segment says so itself.
        blank = {low + row for a, b in blank_rows(piece) for row in range(a, b)}
        assert blank == set(range(low, high)) - {s for a, b in inside for s in range(a, b)}
        assert not blank & {*piece.columns["observation"].tolist()}
        assert not {str(s).encode() for s in blank} & {*piece.columns["action"].tolist()}
        assert all(flag == BLANK | NO_FINAL for flag in piece.flags if flag & BLANK)
        assert not {*piece.finals["final_observation"].tolist()} & {b for _, b in gone} - {
            b for _, b in stays
        }
        found += len(inside)
    assert found == len(stays)

    # To take the same off again changes nothing.
    twice = [part for piece, before in left for part in without(piece, before, Gone.of(gone))]
    assert [encode(LAYOUT, s) for s, _ in twice] == [encode(LAYOUT, s) for s, _ in left]


def test_a_wide_gap_parts_a_segment_in_two():
    segment = segment_of(0, [10, CUT_STEPS - 1, 10, CUT_STEPS, 10], ended=True)
    near, far = (10, 9 + CUT_STEPS), (19 + CUT_STEPS, 19 + 2 * CUT_STEPS)
    left = without(segment, 0.0, Gone.of([near, far]))
    assert [(s.first_step, s.count) for s, _ in left] == [
        (0, 19 + CUT_STEPS),
        (19 + 2 * CUT_STEPS, 10),
    ]


def test_what_was_blanked_before_is_gone_with_what_stood_beside_it():
    segment = segment_of(0, [5, 5, 5], ended=True)
    [(once, before)] = without(segment, 0.0, Gone.of([(5, 10)]))
    [(left, _)] = without(once, before, Gone.of([(0, 5)]))
    assert (left.first_step, left.count) == (10, 5)
    assert without(left, 0.0, Gone.of([(10, 15)])) == []


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)).map(lambda p: (p[0], sum(p)))))
def test_intervals_are_as_the_steps_in_them(intervals):
    gone = Gone.of(intervals)
    steps = {step for start, stop in intervals for step in range(start, stop)}

    def steps_of(found):
        return {step for start, stop in found for step in range(start, stop)}

    assert steps_of(gone.intervals) == steps
    assert all(a[1] < b[0] for a, b in pairwise(gone.intervals))
    for at in range(0, 50, 7):
        assert steps_of(gone.within(at, at + 9)) == steps & set(range(at, at + 9))
        assert steps_of(gone.after(at).intervals) == {step for step in steps if step >= at}
        assert gone.next(at) == min((step for step in steps if step >= at), default=None)


# --- a tape ---------------------------------------------------------------------------


class Recording:
    """A writer with a policy, fed at random; knows what each episode was."""

    def __init__(self, path: Path, keep: str | None, seed: int, full: int = 64) -> None:
        self.random = random.Random(seed)
        self.bench = Bench(path)
        self.bench.tape.segments.full = full
        keeping = Keeping(Judge(parse_policy(keep))) if keep else None
        self.writer = Writer(self.bench.tape, self.bench.assembler, 0.0, keeping=keeping)
        self.bounds: list[tuple[int, int]] = []
        self._start = 0

    def feed(self) -> None:
        """Some steps, some ends; sometimes an end that is told after its last step."""
        bench, choose = self.bench, self.random
        steps = choose.choice([0, 0, *range(1, 40)])
        base = bench.position
        ends = sorted({choose.randint(0, steps) for _ in range(choose.randrange(0, 8))})
        ends = [end for end in ends if base + end > self._start]
        self.writer.add(**bench.take(steps, ends, stage=str(base // 500)))
        for end in ends:
            self.bounds.append((self._start, base + end))
            self._start = base + end

    def finish(self) -> None:
        assert self.writer.commit(last=True)
        self.bench.tape.close()


def check(run: Run, bounds: list[tuple[int, int]], committed: int) -> list[int]:
    """All that was committed is as it was, or gone as a whole; return what is kept."""
    kept = []
    for number, (first, stop) in enumerate(bounds[:committed]):
        summary = run.episode(number)
        assert (summary.first_step, summary.length) == (first, stop - first)
        if summary.kept:
            assert_episode_of_bench(run, number, first, stop)
            kept.append(number)
        else:
            assert summary.reason == "policy"
            with pytest.raises(StepsNotKept, match=r"expected the steps .* not kept \(policy\)"):
                run.steps(number)
            assert summary.episode_return == reward_at(range(first, stop)).sum()
    return kept


def segments_of(path: Path) -> list[tuple[int, int]]:
    with open_run(path) as run:
        rows = run._rows("SELECT first_step, count FROM segments ORDER BY first_step")
    assert all(count > 0 for _, count in rows)
    assert all(a[0] + a[1] <= b[0] for a, b in pairwise(rows))
    return rows


def steps_on_tape(run: Run) -> int:
    """Steps in the segments, without those that were blanked."""
    count = 0
    for first, stop in run._rows("SELECT first_step, first_step + count FROM segments"):
        [(segment, _)] = run._segments.covering(first, stop)
        count += segment.count - sum(b - a for a, b in blank_rows(segment))
    return count


@pytest.mark.parametrize("keep", POLICIES)
def test_at_every_commit_what_is_kept_is_exact_and_the_rest_refuses(tmp_path, keep):
    """So does a tape whose writer was killed between any two of them."""
    for seed in range(4):
        recording = Recording(tmp_path / str(seed), keep, seed)
        with open_run(recording.bench.path) as run:
            for round_ in range(60):
                recording.feed()
                if recording.random.random() < 0.6:
                    assert recording.writer.commit()
                    if round_ % 4 == 0:
                        check(run, recording.bounds, len(recording.bounds))
            recording.finish()
            kept = check(run, recording.bounds, len(recording.bounds))
            lengths = [stop - first for first, stop in recording.bounds]
            running = recording.bench.position - sum(lengths)
            assert steps_on_tape(run) == sum(lengths[number] for number in kept) + running
            assert run._rows("PRAGMA freelist_count") == [(0,)]  # space is given back
        segments_of(recording.bench.path)
        assert kept or keep == "length > 100000"


@pytest.mark.parametrize("keep", ["every 7", "top 5% of 20 | stages 2 before 2 after", "first 2"])
def test_counts_roll_ups_and_curve_are_those_of_a_run_that_keeps_all(tmp_path, keep):
    runs = []
    for name, policy in (("all", None), ("some", keep)):
        recording = Recording(tmp_path / name, policy, seed=3)
        for _ in range(80):
            recording.feed()
            recording.writer.commit()
        recording.finish()
        runs.append(open_run(recording.bench.path))
    everything, some = runs
    assert some.counts() == everything.counts()
    assert some.summary() == everything.summary()
    ours, theirs = some.curve(points=5), everything.curve(points=5)
    for name in ("episode", "count", "min", "mean", "max"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name), equal_nan=True)
    for what in ("* FROM rollups", "episode, first_step, length, episode_return FROM episodes"):
        assert some._rows(f"SELECT {what}") == everything._rows(f"SELECT {what}")
    assert sum(count for _, count in segments_of(some.path)) < everything.counts().steps
    for run in runs:
        run.close()


def test_a_commit_that_failed_anywhere_took_nothing_off_and_may_be_made_again(tmp_path):
    """Steps leave in the transaction that says that they are gone."""

    def steps() -> Iterator[tuple[Recording, int]]:
        for number in range(1, 400):
            recording = Recording(tmp_path / str(number), "top 5% of 30 | every 9", 1, full=32)
            for _ in range(12):
                recording.feed()
                if recording.random.random() < 0.5:
                    recording.writer.commit()
            for _ in range(8):
                recording.feed()
            yield recording, number

    for recording, number in steps():
        bench = recording.bench
        with open_run(bench.path) as run:
            before = [run._rows(f"SELECT * FROM {table}") for table in ("segments", "episodes")]
            bench.connection.calls = 0
            failed = []

            def fail(call: int, statement: str, number=number, failed=failed) -> Exception | None:
                if call == number:
                    failed.append(statement)
                    return sqlite3.OperationalError("database or disk is full")
                return None

            bench.connection.fails = fail
            recording.writer._retry_at = 0.0
            done = recording.writer.commit()
            bench.connection.fails = lambda call, statement: None
            if not failed:
                break
            if failed[0].startswith("PRAGMA"):
                continue
            assert not done
            after = [run._rows(f"SELECT * FROM {table}") for table in ("segments", "episodes")]
            assert before == after
            recording.writer._retry_at = 0.0
            recording.finish()
            check(run, recording.bounds, len(recording.bounds))
        segments_of(bench.path)
    assert number > 8


def test_what_was_lost_and_what_was_not_kept_are_counted_apart(tmp_path):
    """Lost steps were never written; steps not kept were, and count as recorded."""
    recording = Recording(tmp_path / "run", "every 3", seed=5)
    writer, bench = recording.writer, recording.bench
    for round_ in range(40):
        recording.feed()
        if round_ == 20:
            writer._let_go(everything=True)
        elif round_ % 3 == 0:
            assert writer.commit()
    recording.finish()
    assert writer.counters.lost_steps > 0
    with open_run(bench.path) as run:
        assert run.counts().lost_steps == writer.counters.lost_steps
        assert run.counts().steps == bench.position - writer.counters.lost_steps
        assert run.counts().steps == writer.counters.steps


def test_the_last_reward_is_known_where_an_end_is_told_late(tmp_path):
    bench = Bench(tmp_path / "run")
    writer = Writer(
        bench.tape, bench.assembler, 0.0, keeping=Keeping(Judge(parse_policy("successes")))
    )
    writer.add(**bench.take(5))  # the last reward is 1
    writer.commit()
    writer.add(**bench.take(0, [0]))
    writer.add(**bench.take(3))  # and here -3
    writer.add(**bench.take(0, [0]))
    writer.commit(last=True)
    bench.tape.close()
    with open_run(bench.path) as run:
        assert [run.episode(n).reason for n in range(2)] == ["success", "policy"]
        assert_episode_of_bench(run, 0, 0, 5)


def test_a_damaged_segment_stops_no_recording(tmp_path, caplog):
    """Its steps stay where they are; that they are not kept is said in `episodes`."""
    bench = Bench(tmp_path / "run")
    bench.tape.segments.full = 8
    bench.tape.commit([bench.piece(16, [4, 8, 12, 16])])
    bench.connection.execute("UPDATE segments SET blob = zeroblob(40) WHERE first_step = 0")
    with caplog.at_level(logging.ERROR):
        bench.tape.commit([bench.piece(4, [4])], ruling=Ruling(gone=[(4, 8), (12, 16)]))
    assert "not kept stay on the tape" in caplog.text
    assert bench.segments() == [(0, 8), (8, 4), (16, 4)]


def test_closed_segments_are_written_anew_once(tmp_path):
    """Not once for each episode in them that is decided."""
    bench = Bench(tmp_path / "run")
    bench.tape.segments.full = 16
    # One of four episodes of a segment is decided with a commit, the others with the next.
    keeping = Keeping(Judge(parse_policy("stages 41 before 0 after")))
    writer = Writer(bench.tape, bench.assembler, 0.0, keeping=keeping)
    written: list[str] = []

    def listen(call: int, statement: str) -> None:
        if statement.startswith("DELETE FROM segments WHERE first_step = "):
            written.append(statement)

    bench.connection.fails = listen
    for _ in range(60):
        writer.add(**bench.take(4, [1, 2, 3, 4]))
        writer.commit()
    assert 30 < len(written) <= 60
    writer.commit(last=True)
    assert bench.segments() == []
    bench.tape.close()


# --- a recorder -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "keep",
    ["every 5 | stages 2 before 3 after", every(5) | stages(2, 3) | when(lambda e: False)],
    ids=["in the writer's process", "in ours"],
)
def test_a_recorder_keeps_what_its_policy_says(tmp_path, keep):
    recorder = new_recorder(tmp_path, keep=keep, channels=[Q_VALUES, EXPLORED])
    for number in range(40):
        for step in range(6):
            recorder.record_step(
                step, 1, float(number), q_values=[step, number, 0.5, -1.0], explored=step == 0
            )
        recorder.finish_episode(7, terminated=True, stage="a" if number < 20 else "b")
    recorder.close()
    expected = {*range(0, 40, 5), *range(18, 23)}
    with open_run(recorder.path) as run:
        page = run.page(sort="oldest", limit=100).episodes
        assert [s.episode for s in page if s.kept] == sorted(expected)
        assert all(s.reason for s in page)
        assert {s.reason for s in page if not s.kept} == {"policy"}
        for number in expected:
            episode = run.load(number)
            assert episode.rewards.tolist() == [float(number)] * 6
            assert episode.observations.tolist() == [0, 1, 2, 3, 4, 5, 7]
            assert episode.channels["q_values"].tolist() == [
                [step, number, 0.5, -1.0] for step in range(6)
            ]
            assert episode.channels["explored"].tolist() == [True] + [False] * 5
        assert run.counts().episodes == 40
        assert run.counts().steps == 240
        told = [event for event in run.events() if event.kind == "policy"]
        assert [event.text for event in told] == [str(keep)]
    assert recorder.stats.steps == 240
    assert recorder.stats.lost_steps == recorder.stats.errors == 0


def test_a_policy_that_fails_keeps_everything_and_training_goes_on(tmp_path, caplog):
    def broken(episode):
        raise RuntimeError("a fault of the user's")

    recorder = new_recorder(tmp_path, keep=broken)
    for _ in range(5):
        record_episode(recorder, [1.0, 2.0])
    assert recorder.flush()
    recorder.close()
    assert [r.message for r in caplog.records if "broken" in r.message] == [
        "broken failed on episode 0; it is kept, and so is each that it fails on"
    ]
    with open_run(recorder.path) as run:
        assert [run.episode(n).reason for n in range(5)] == ["broken failed"] * 5
        assert run.load(4).rewards.tolist() == [1.0, 2.0]


def test_what_runs_and_what_is_undecided_can_be_seen(tmp_path):
    recorder = new_recorder(tmp_path, keep="top 1% of 100")
    record_episode(recorder, [1.0, 2.0])
    recorder.record_step(1, 1, 4.0)
    assert recorder.flush()
    with open_run(recorder.path) as run:
        assert run.episode(0).kept
        assert run.episode(0).reason is None
        assert run.load(0).rewards.tolist() == [1.0, 2.0]
        assert run.steps(1).columns["reward"].tolist() == [4.0]
        recorder.close()
        assert run.episode(0).reason == "policy"
        assert run.episode(1).reason == "top 1% of 100"


def test_a_bad_policy_is_refused_before_anything_is_made(tmp_path):
    for options in ({"keep": "evry 3"}, {"keep": 3}, {"quota_bytes": 10}):
        with pytest.raises(PolicyError, match="expected"):
            new_recorder(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_a_run_taken_up_again_goes_on_with_its_policy(tmp_path):
    """The last segment on the tape may begin and end elsewhere than what was recorded."""
    for session in range(3):
        options = {"resume": True} if session else {}
        recorder = new_recorder(tmp_path, run_id="run", keep="every 4", **options)
        for number in range(session * 7, session * 7 + 7):
            record_episode(recorder, [float(number)] * (number % 3 + 1))
        recorder.close()
    with open_run(tmp_path / "run") as run:
        assert run.counts().episodes == 21
        assert run.counts().steps == sum(n % 3 + 1 for n in range(21))
        for number in range(21):
            assert run.episode(number).kept == (number % 4 == 0)
            if number % 4 == 0:
                assert run.load(number).rewards.tolist() == [float(number)] * (number % 3 + 1)


@pytest.mark.parametrize("victim", ["trainer", "writer and trainer"])
def test_a_kill_leaves_a_tape_of_whole_episodes(tmp_path, victim):
    """What was acknowledged is there, as a summary at least; what is kept is exact."""
    script = textwrap.dedent(
        """
        import sys
        sys.path.insert(0, sys.argv[2])
        from recorder_kit import new_recorder, record_episode
        recorder = new_recorder(sys.argv[1], run_id="run", keep="every 3 | top 5% of 50")
        number = 0
        while True:
            for _ in range(300):
                number = record_episode(recorder, [float(number)] * (number % 7 + 1)) + 1
            recorder.flush()
            print(number, recorder._pump.writer_pid, flush=True)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(4):
        acknowledged, writer = map(int, process.stdout.readline().split())
    if victim != "trainer":
        os.kill(writer, signal.SIGKILL)
    process.kill()
    process.wait()
    process.stdout.close()
    with open_run(tmp_path / "run") as run:
        while run.is_recording():  # the writer writes what had reached it
            run.data_version()
        counts = run.counts()
        assert counts.episodes >= acknowledged
        assert run._rows("PRAGMA integrity_check") == [("ok",)]
        for number in range(counts.episodes):
            summary = run.episode(number)
            assert summary.length == number % 7 + 1
            if summary.kept:
                assert run.load(number).rewards.tolist() == [float(number)] * summary.length
            else:
                assert number % 3
        assert sum(1 for n in range(acknowledged - 100) if not run.episode(n).kept) > 500
    segments_of(tmp_path / "run")


def test_the_policy_is_told_on_the_timeline(tmp_path):
    recorder = new_recorder(tmp_path, keep="every 3", quota_bytes=1 << 20)
    recorder.close()
    with open_run(recorder.path) as run:
        (event,) = run.events()
    assert (event.kind, event.text) == ("policy", "every 3")
    assert json.loads(json.dumps(event.data)) == {"quota_bytes": 1 << 20}
