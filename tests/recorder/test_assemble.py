"""Raw columns and ends become numbered episodes on the axis of steps. No file is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recorder.assemble import Assembler, Piece
from recorder.codec import INCOMPLETE, NO_FINAL, TERMINATED, TRUNCATED
from recorder.layout import Layout

LAYOUT = Layout({"type": "Discrete"}, {"type": "Discrete"})
LENGTHS = (3, 1, 1, 6, 2, 4)
REWARDS = np.array([1.0, -2.0, 4.0, 8.0, -16.0] * 4)[: sum(LENGTHS)]
ENDS = np.cumsum(LENGTHS).tolist()


def mark(position: int, flags: int = TERMINATED, final: Any = (5,), **facts: Any) -> tuple:
    return (
        position,
        final,
        flags,
        facts.get("epsilon"),
        facts.get("seed"),
        facts.get("stage"),
        facts.get("started_at", float(position)),
        facts.get("duration_s", 0.5),
        facts.get("tags", ()),
    )


def add(assembler: Assembler, start: int, stop: int, ends: list[int]) -> Piece:
    columns = {
        "observation": np.arange(start, stop),
        "action": np.arange(start, stop),
        "reward": REWARDS[start:stop],
    }
    return assembler.add(columns, [mark(end) for end in ends], start, 1.0)


def ended(pieces: list[Piece]) -> list[tuple[int, int, int, float]]:
    return [
        tuple(piece.ended.columns[name][index] for name in (
            "episode", "first_step", "length", "episode_return",
        ))
        for piece in pieces
        for index in range(len(piece.ended))
    ]  # fmt: skip


def expected(episode: int = 0, first_step: int = 0) -> list[tuple[int, int, int, float]]:
    starts = [0, *ENDS]
    return [
        (episode + at, first_step + start, end - start, float(REWARDS[start:end].sum()))
        for at, (start, end) in enumerate(zip(starts, ENDS, strict=False))
    ]


@pytest.mark.parametrize("at", range(sum(LENGTHS) + 1))
@pytest.mark.parametrize("late", [False, True])
def test_episodes_are_the_same_wherever_the_columns_are_cut(at, late):
    """Before, on and behind each end; and an end on the cut may be told with what follows."""
    assembler = Assembler(LAYOUT)
    before = [end for end in ENDS if end < at or (end == at and not late)]
    behind = [end for end in ENDS if end not in before]
    pieces = [add(assembler, 0, at, before), add(assembler, at, sum(LENGTHS), behind)]
    assert ended(pieces) == expected()


def test_each_step_may_come_alone_and_each_end_after_it():
    """The slowest loop there is: an end always comes when its last step was taken."""
    assembler = Assembler(LAYOUT)
    pieces = []
    for step in range(sum(LENGTHS)):
        pieces.append(add(assembler, step, step + 1, []))
        if step + 1 in ENDS:
            pieces.append(add(assembler, step + 1, step + 1, [step + 1]))
    assert ended(pieces) == expected()
    assert [piece.segment.count for piece in pieces if len(piece.ended)] == [0] * len(LENGTHS)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_the_running_episode_is_known_behind_each_piece(size):
    """Its number, where it began, how long it is and what it has earned so far."""
    assembler = Assembler(LAYOUT)
    total = sum(LENGTHS)
    for start in range(0, total, size):
        stop = min(start + size, total)
        piece = add(assembler, start, stop, [end for end in ENDS if start < end <= stop])
        done = [end for end in ENDS if end <= stop]
        first = done[-1] if done else 0
        running = piece.running
        assert (running.episode, running.first_step) == (len(done), first)
        assert running.length == stop - first
        assert running.episode_return == REWARDS[first:stop].sum()
        begun = max([0, *(end for end in ENDS if end <= start)])
        assert piece.return_before == REWARDS[begun:start].sum()
        assert piece.segment.ends.tolist() == [end - start for end in ENDS if start < end <= stop]


def test_a_run_taken_up_again_goes_on_with_its_numbers():
    """The first episode and step are told."""
    assembler = Assembler(LAYOUT, episode=40, first_step=1000)
    pieces = [add(assembler, 0, 5, ENDS[:3]), add(assembler, 5, sum(LENGTHS), ENDS[3:])]
    assert ended(pieces) == expected(40, 1000)
    assert [piece.segment.first_step for piece in pieces] == [1000, 1005]


def test_what_is_known_of_an_end_reaches_its_row():
    """Flags in words, and the facts that the loop told."""
    assembler = Assembler(LAYOUT)
    columns = {name: np.zeros(4) for name in ("observation", "action", "reward")}
    facts = {
        "epsilon": 0.25, "seed": 7, "stage": "maze", "started_at": 9.0, "duration_s": 2.0,
        "tags": ("a", "b"),
    }  # fmt: skip
    piece = assembler.add(
        columns,
        [
            mark(1, TERMINATED | TRUNCATED, **facts),
            mark(2, TRUNCATED),
            mark(3, INCOMPLETE | NO_FINAL, final=None),
        ],
        0,
        1.0,
    )
    first, second, third = (piece.ended.summary(index) for index in range(3))
    assert {name: getattr(first, name) for name in facts} == facts
    assert first.ending == "terminated and truncated"
    assert (second.ending, second.epsilon, second.seed, second.tags) == (
        "truncated",
        None,
        None,
        (),
    )
    assert third.ending == "incomplete"
    assert piece.segment.finals["final_observation"].tolist() == [5, 5, 0]
    assert piece.segment.flags.tolist() == [3, 2, 12]


@pytest.mark.parametrize(
    ("rewards", "total"),
    [
        ([np.nan, 1.0], np.nan),
        ([np.inf, 1.0], np.inf),
        ([np.inf, -np.inf], np.nan),
        ([1e308, 1e308], np.inf),
    ],
)
def test_rewards_that_are_no_number_are_summed_and_harm_no_other_episode(rewards, total):
    """A diverged agent is just what somebody will want to look at."""
    assembler = Assembler(LAYOUT)
    columns = {name: np.zeros(2) for name in ("observation", "action")}
    sums = []
    for step, reward in enumerate([rewards, [2.0, 3.0]]):
        piece = assembler.add(
            {**columns, "reward": np.array(reward)}, [mark(2 * step + 2)], 2 * step, 1.0
        )
        sums.extend(piece.ended.columns["episode_return"])
    assert sums == pytest.approx([total, 5.0], nan_ok=True)


def test_infinite_rewards_of_both_signs_in_pieces_that_came_apart_are_summed_without_a_word():
    """What the writer's process warned of would stand among the user's own words."""
    assembler = Assembler(LAYOUT)
    columns = {name: np.zeros(1) for name in ("observation", "action")}
    assembler.add({**columns, "reward": np.array([np.inf])}, [], 0, 1.0)
    piece = assembler.add({**columns, "reward": np.array([-np.inf])}, [mark(2)], 1, 1.0)
    assert np.isnan(piece.ended.columns["episode_return"]).tolist() == [True]


def test_no_sum_is_a_negative_zero():
    """SQLite does not keep its sign, and what stands on the tape is held against checksums."""
    columns = {name: np.zeros(3) for name in ("observation", "action")}
    piece = Assembler(LAYOUT).add({**columns, "reward": np.full(3, -0.0)}, [mark(1), mark(2)], 0, 1)
    sums = [*piece.ended.columns["episode_return"], piece.running.episode_return]
    assert np.signbit(sums).tolist() == [False] * 3
