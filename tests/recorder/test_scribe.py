"""What the writer's process does with messages. No process and no pipe is needed."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorder_kit import Bench, assert_episode_of_bench

from recorder import DamagedTape, open_run
from recorder.place import Place
from recorder.scribe import Scribe


class Told:
    """A scribe on a `Bench`'s tape, and the messages that a recorder would send it."""

    def __init__(self, run_dir: Path) -> None:
        self.bench = Bench(run_dir)
        self.bench.tape.close()
        self.place = Place()
        self.scribe = self.new_scribe()

    def new_scribe(self, again: bool = False) -> Scribe:
        layout = self.bench.layout
        start = {
            "observation_space": layout.observation_space,
            "action_space": layout.action_space,
            "layout": layout.as_json(),
            "episode": 0,
            "first_step": 0,
            "lost_before": (0, 0),
            "interval": 0.1,
            "redact": (),
            "at": astuple(self.place),
            "again": again,
        }
        return Scribe(self.bench.path, start)

    def steps(self, steps: int, ends: list[int], spoil: Any = None) -> tuple[Any, list[Any]]:
        """A message of steps and ends, which `spoil` may change, and its columns."""
        take = self.bench.take(steps, ends)
        before = self.place
        marks = take["marks"]
        self.place = Place(
            before.position + steps,
            before.episodes + len(marks),
            marks[-1][0] if marks else before.begun,
        )
        columns = take["columns"]
        parts = [columns[name].tobytes() for name in ("observation", "action", "reward")]
        if spoil is not None:
            marks, parts = spoil(marks, parts)
        return ("steps", astuple(before), steps, 100.0, marks), parts

    def send(self, steps: int, ends: list[int], spoil: Any = None) -> None:
        self.scribe.handle(*self.steps(steps, ends, spoil))

    def flush(self) -> bool:
        answer = self.scribe.handle(("flush", 1, astuple(self.place)))
        assert answer is not None
        assert answer[:2] == ("flushed", 1)
        return bool(answer[2])

    @property
    def counted(self) -> tuple[int, int, int, int]:
        c = self.scribe.writer.counters
        return c.episodes, c.steps, c.lost_episodes, c.lost_steps


@pytest.fixture
def told(tmp_path) -> Told:
    return Told(tmp_path / "run")


def test_what_is_sent_is_on_the_tape_once_it_is_flushed(told):
    """Acknowledged after the commit."""
    told.send(10, [4, 10])
    told.send(3, [])
    assert told.flush()
    assert told.counted == (2, 13, 0, 0)
    told.send(0, [0])
    assert told.scribe.stop("finished") == ("stopped", "finished", True)
    with open_run(told.bench.path) as run:
        assert run.info.status == "finished"
        for number, (first, stop) in enumerate([(0, 4), (4, 10), (10, 13)]):
            assert_episode_of_bench(run, number, first, stop)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda marks, parts: ([(*marks[0][:1], ("x",), *marks[0][2:]), *marks[1:]], parts),
        lambda marks, parts: ([mark[:-1] for mark in marks], parts),
        lambda marks, parts: (marks, [parts[0][:-1], *parts[1:]]),
        lambda marks, parts: (marks, parts[1:]),
    ],
    ids=["a value of another kind", "marks of another form", "bytes missing", "a column missing"],
)
def test_a_message_that_makes_no_sense_costs_what_it_holds_and_nothing_else(told, caplog, spoil):
    """A new process would be sent the same again, and die of it again."""
    told.send(10, [4, 10])
    told.send(10, [5], spoil)
    told.send(10, [5, 7])
    assert told.flush()
    assert "could not be made sense of" in caplog.text
    assert told.counted == (4, 20, 1, 10)
    assert told.scribe.writer.counters.errors == 1
    c = told.scribe.writer.counters
    assert (c.settled_episodes, c.settled_steps) == (5, 30)
    told.scribe.stop("finished")
    with open_run(told.bench.path) as run:
        assert [event.data["steps"] for event in run.events()] == [10]
        assert_episode_of_bench(run, 0, 0, 4)
        assert_episode_of_bench(run, 1, 4, 10)
        with pytest.raises(DamagedTape, match="lost"):
            run.load(3)  # it began in what is missing
        assert_episode_of_bench(run, 4, 25, 27)
        assert run.counts().lost_steps == 10


@pytest.mark.parametrize("committed", [0, 1, 2, 3])
def test_a_new_process_goes_on_where_the_tape_stands_whatever_it_is_sent_again(told, committed):
    """Messages that had been committed already are left out; none is missing, none double."""
    messages = [told.steps(10, [4, 10]), told.steps(5, []), told.steps(20, [0, 3, 20])]
    for message in messages[:committed]:
        told.scribe.handle(*message)
    if committed:
        assert told.scribe.writer.commit()
    told.scribe.tape.close()  # it dies
    end = told.place
    told.place = Place()
    told.scribe = told.new_scribe(again=True)
    for message in messages:
        told.scribe.handle(*message)
    told.place = end
    assert told.flush()
    assert told.counted == (5, 35, 0, 0)
    told.scribe.stop("finished")
    with open_run(told.bench.path) as run:
        for number, (first, stop) in enumerate([(0, 4), (4, 10), (10, 15), (15, 18), (18, 35)]):
            assert_episode_of_bench(run, number, first, stop)


def test_an_integer_beyond_its_dtype_becomes_the_limit(told):
    """In the last observation as in the others: it costs nobody else anything."""
    beyond = 1 << 70

    def spoil(marks: list[Any], parts: list[Any]) -> tuple[list[Any], list[Any]]:
        return [(mark[0], (beyond,), *mark[2:]) for mark in marks], parts

    told.send(2, [1, 2], spoil)
    assert told.flush()
    assert told.scribe.writer.counters.errors == 0
    with open_run(told.bench.path) as run:
        assert run.load(1).observations.tolist() == [1, np.iinfo(np.int64).max]
    told.scribe.tape.close()
