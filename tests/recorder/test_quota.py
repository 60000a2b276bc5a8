"""A quota: the file stays below it, and what gives up its steps is the least interesting."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from recorder_kit import new_recorder, run_row

from recorder import Channel, StepsNotKept, open_run
from recorder.assemble import Assembler
from recorder.blank import blank_tape
from recorder.codec import TERMINATED
from recorder.describe import describe
from recorder.judge import Judge
from recorder.keeping import Keeping
from recorder.layout import Layout
from recorder.policy_text import parse_policy
from recorder.quota import Quota
from recorder.schema import FILE_NAME
from recorder.tape import Tape
from recorder.writer import Writer

LENGTH = 50
WIDTH = 64  # random numbers, which do not compress: about 512 bytes a step
LAYOUT = Layout(
    describe(spaces.Discrete(9)), describe(spaces.Discrete(4)), (Channel("x", shape=(WIDTH,)),)
)


class Recording:
    """A writer with a quota, fed with whole episodes of known returns."""

    def __init__(self, path: Path, quota: int, keep: str | None = None) -> None:
        path.mkdir()
        self.path = path
        (path / FILE_NAME).write_bytes(blank_tape(run_row(path.name, LAYOUT)))
        self.tape = Tape(path, LAYOUT)
        self.tape.segments.full = 200
        self.quota = Quota(quota, self.tape)
        keeping = Keeping(Judge(parse_policy(keep)) if keep else None, quota=self.quota)
        self.writer = Writer(self.tape, Assembler(LAYOUT), 0.0, keeping=keeping)
        self.position = 0
        self.episodes = 0
        self.peak = 0
        self._rng = np.random.default_rng(1)

    def episode(self, earned: float = 0.0, length: int = LENGTH, ends: bool = True) -> None:
        rewards = np.zeros(length)
        rewards[0] = earned
        columns = {
            "observation": np.full(length, self.episodes % 9),
            "action": np.zeros(length, np.int64),
            "reward": rewards,
            "x": self._rng.random((length, WIDTH)),
        }
        end = self.position + length
        mark = (end, (0,), TERMINATED, None, None, None, 0.0, 0.0, ())
        self.writer.add(columns, [mark] if ends else [], self.position, 0.0)
        self.position = end
        self.episodes += ends
        assert self.writer.commit()
        self.peak = max(self.peak, self.tape.space().file)

    def finish(self) -> dict[int, str | None]:
        """Kept episodes and why, each of them read; the others refuse."""
        assert self.writer.commit(last=True)
        self.tape.close()
        kept = {}
        with open_run(self.path) as run:
            assert run._rows("PRAGMA integrity_check") == [("ok",)]
            assert run.counts().episodes == self.episodes
            assert run.counts().steps == self.position
            for number in range(self.episodes):
                summary = run.episode(number)
                if summary.kept:
                    kept[number] = summary.reason
                    assert set(run.load(number).observations[:-1].tolist()) == {number % 9}
                else:
                    assert summary.reason in ("quota", "policy")
                    with pytest.raises(StepsNotKept, match=rf"not kept \({summary.reason}\)"):
                        run.load(number)
        return kept


@pytest.mark.parametrize("keep", [None, "every 2"])
def test_the_file_never_grows_past_the_quota(tmp_path, keep):
    """Ten times the quota goes by: what a commit adds is known from those before."""
    recording = Recording(tmp_path / "run", 1 << 20, keep)
    for _ in range(400):
        recording.episode()
    kept = recording.finish()
    assert recording.peak <= 1 << 20
    assert (tmp_path / "run" / "run.db").stat().st_size <= 1 << 20
    # What is there is used: no less than half of it is steps.
    assert len(kept) * LENGTH * WIDTH * 8 > 1 << 19


def test_the_oldest_go_first_but_for_the_first_and_the_best(tmp_path):
    recording = Recording(tmp_path / "run", 1 << 20)
    for number in range(150):
        recording.episode(earned=7.0 if number == 20 else 1.0)
    kept = list(recording.finish())
    assert kept[:2] == [0, 20]
    assert kept[2:] == list(range(kept[2], 150))
    assert kept[2] > 21


def test_what_a_policy_kept_for_a_reason_outlasts_what_it_kept_for_none(tmp_path):
    recording = Recording(tmp_path / "run", 1 << 20, "all | every 10")
    for _ in range(150):
        recording.episode()
    kept = recording.finish()
    assert [n for n, reason in kept.items() if reason] == list(range(0, 150, 10))
    rest = [n for n, reason in kept.items() if not reason]
    assert rest
    assert rest == [n for n in range(rest[0], 150) if n % 10]


def test_reasons_give_way_too_where_there_is_nothing_else(tmp_path):
    recording = Recording(tmp_path / "run", 1 << 20, "every 2")
    for number in range(300):
        recording.episode(earned=9.0 if number == 40 else 1.0)
    kept = recording.finish()
    assert set(kept.values()) == {"every 2"}
    assert list(kept)[:2] == [0, 40]
    assert list(kept)[2:] == list(range(list(kept)[2], 300, 2))


def test_what_is_not_decided_on_goes_before_the_quota_is_passed(tmp_path):
    """And what went is not said to be kept when the policy comes round to it."""
    recording = Recording(tmp_path / "run", 1 << 20, "top 100% of 1000")
    for _ in range(150):
        recording.episode()
    assert recording.peak <= (1 << 20) + LENGTH * WIDTH * 8 * 3
    kept = recording.finish()
    assert next(iter(kept)) == 0
    assert len(kept) < 60
    assert set(kept.values()) == {"top 100% of 1000"}


def test_the_episode_that_runs_is_never_taken_off(tmp_path, caplog):
    """It may pass the quota alone: that is said, once, and it goes when it has ended."""
    recording = Recording(tmp_path / "run", 1 << 20)
    recording.episode()
    with caplog.at_level(logging.WARNING):
        for _ in range(80):
            recording.episode(ends=False)
    assert recording.tape.space().in_use > 1 << 20
    assert sum("cannot be met" in record.message for record in caplog.records) == 1
    with open_run(recording.path) as run:
        assert run.steps(1).stop == 80 * LENGTH
        assert not run.episode(0).kept
    recording.episode()
    for _ in range(3):
        recording.episode()
    kept = recording.finish()
    assert 1 not in kept
    assert kept
    assert (tmp_path / "run" / "run.db").stat().st_size <= 1 << 20


def test_a_recorder_holds_its_file_to_the_quota(tmp_path):
    choose = random.Random(2)
    recorder = new_recorder(tmp_path, quota_bytes=1 << 20, channels=[Channel("x", shape=(WIDTH,))])
    for _ in range(100):
        for step in range(LENGTH):
            recorder.record_step(step % 9, 0, 0.5, x=[choose.random() for _ in range(WIDTH)])
        recorder.finish_episode(0, terminated=True)
    recorder.close()
    assert recorder.stats.errors == recorder.stats.lost_steps == 0
    assert (recorder.path / "run.db").stat().st_size <= 1 << 20
    with open_run(recorder.path) as run:
        assert run.counts().steps == 100 * LENGTH
        kept = [n for n in range(100) if run.episode(n).kept]
        assert {run.episode(n).reason for n in range(100) if n not in kept} == {"quota"}
        for number in kept:
            assert run.load(number).length == LENGTH
        assert 99 in kept
        (event,) = run.events()
        assert event.data == {"quota_bytes": 1 << 20}
