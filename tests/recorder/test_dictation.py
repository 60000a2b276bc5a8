"""A writer that takes over from another: nothing is missing, nothing stands twice.

Here the two are objects, so that the first can die at the worst moment: when it has
committed, and nobody has heard of it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from faults_kit import ACTIONS, STATES, assert_whole, length_of, rewards_at
from gymnasium import spaces
from recorder_kit import run_row

from recorder import open_run
from recorder.blank import blank_tape
from recorder.check import check_run
from recorder.codec import TERMINATED
from recorder.describe import describe
from recorder.dictation import Scribe
from recorder.layout import Layout
from recorder.marks import Marks
from recorder.packer import make_packer
from recorder.place import Place
from recorder.schema import FILE_NAME
from recorder.values import spec_for

LAYOUT = Layout(describe(spaces.Discrete(STATES)), describe(spaces.Discrete(ACTIONS)))
FRAMES = 12
EPISODES_A_FRAME = 5


def frames() -> list[tuple]:
    """Messages as the pump sends them, an event behind each frame of steps."""
    specs = [spec_for(column) for column in LAYOUT.steps]
    made, step, episode, place = [], 0, 0, Place()
    for frame in range(FRAMES):
        packer = make_packer(specs, 3, 1000, lambda: None)
        marks, first = [], step
        for _ in range(EPISODES_A_FRAME):
            stop = step + length_of(episode)
            for at, reward in enumerate(rewards_at(step, stop), step):
                packer.record(at % STATES, at % ACTIONS, reward)
            marks.append((stop, (stop % STATES,), TERMINATED, 0.5, None, None, 1.0, 0.1, ()))
            step, episode = stop, episode + 1
        count, _, parts, *_ = packer.take(1000)
        made.append(
            (("steps", tuple(place), count, 1.0, marks, 0), (*parts, Marks.of(marks).ends), place)
        )
        assert count == step - first
        place = Place(step, episode, step, place.events)
        made.append((("event", 1.0 + frame, episode, step, "note", "", "{}"), (), place))
        place = Place(step, episode, step, place.events + 1)
    return [*made, (None, None, place)]


def start(at: Place, again: bool) -> dict:
    return {
        "observation_space": LAYOUT.observation_space,
        "action_space": LAYOUT.action_space,
        "layout": json.loads(json.dumps(LAYOUT.as_json())),
        "episode": 0, "first_step": 0, "lost_before": (0, 0), "interval": 0.1, "redact": (),
        "at": tuple(at), "again": again,
    }  # fmt: skip


def empty_tape(folder: Path) -> Path:
    """The directory of a run of which nothing is recorded."""
    path = folder / "run"
    path.mkdir()
    (path / FILE_NAME).write_bytes(blank_tape(run_row("run", LAYOUT)))
    return path


@pytest.mark.parametrize(
    ("known", "committed"),
    [(k, c) for k in (0, 3, 10) for c in range(0, 2 * FRAMES + 1, 3) if k <= c],
)
def test_what_is_sent_again_stands_on_the_tape_once(tmp_path, known, committed):
    """Whatever the first had committed, and however little of that was known."""
    path = empty_tape(tmp_path)
    sent = frames()
    total = sent[-1][2]
    first = Scribe(path, start(Place(), False))
    for message, parts, _ in sent[:committed]:
        first.handle(message, parts)
    assert first.writer.commit()
    for message, parts, _ in sent[committed:-1]:  # and lost with it
        first.handle(message, parts)
    first.tape.close()

    second = Scribe(path, start(sent[known][2], True))
    for message, parts, _ in sent[known:-1]:
        second.handle(message, parts)
    assert second.handle(("stop", "finished", tuple(total))) == ("stopped", "finished", True)
    counters = second.writer.counters
    assert (counters.episodes, counters.steps) == (total.episodes, total.position)
    assert (counters.lost_episodes, counters.lost_steps) == (0, 0)
    assert (counters.settled_steps, counters.settled_events) == (total.position, total.events)
    with open_run(path) as run:
        assert run.counts().episodes == total.episodes
        assert_whole(run, range(total.episodes))
        assert [event.at for event in run.events()] == [1.0 + n for n in range(FRAMES)]
    assert check_run(path).clean


@pytest.mark.parametrize("committed", [0, 1, 7])
def test_what_neither_the_tape_nor_the_pump_has_is_a_hole(tmp_path, committed):
    """The frames between were more than the reserve could hold."""
    path = empty_tape(tmp_path)
    sent = frames()
    total, resumed = sent[-1][2], sent[16][2]
    first = Scribe(path, start(Place(), False))
    for message, parts, _ in sent[:committed]:
        first.handle(message, parts)
    assert first.writer.commit()
    first.tape.close()
    have = sent[committed][2]

    second = Scribe(path, start(resumed, True))
    for message, parts, _ in sent[16:-1]:
        second.handle(message, parts)
    second.handle(("stop", "finished", tuple(total)))
    counters = second.writer.counters
    assert counters.lost_steps == resumed.position - have.position
    assert counters.lost_episodes == resumed.episodes - have.episodes
    assert counters.steps + counters.lost_steps == total.position
    assert counters.episodes + counters.lost_episodes == total.episodes
    with open_run(path) as run:
        assert_whole(run, [*range(have.episodes), *range(resumed.episodes, total.episodes)])
        (gap,) = [event for event in run.events() if event.kind == "gap"]
        assert (gap.episode, gap.global_step) == (have.episodes, have.position)
        assert gap.data["steps"] == counters.lost_steps
    assert check_run(path).clean
