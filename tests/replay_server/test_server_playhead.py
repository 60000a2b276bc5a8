"""The playhead: which steps are due when. No sleeps: its clock is moved by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server_kit import ManualClock

from replay_server.playhead import FRAME_SECONDS, MAX_MOVES, Playhead, steps_per_second
from replay_server.protocol import MAX

TINY = 1e-4


def placed(
    length: int | None = 100, step: int = 0, rate: float = 10.0
) -> tuple[Playhead, ManualClock]:
    clock = ManualClock()
    playhead = Playhead(clock.now, rate)
    limit = 99 if length is None else length
    playhead.place(3, step, length, limit)
    playhead.play()
    return playhead, clock


@pytest.mark.parametrize("speed", [0.1, 0.5, 1.0, 2.0, 5.0])
def test_a_step_is_due_at_its_moment_and_not_before(speed: float) -> None:
    playhead, clock = placed()
    playhead.set_speed(speed)
    period = 0.1 / speed
    clock.advance(period - TINY)
    assert playhead.due() == 0
    clock.advance(TINY)
    assert playhead.due() == 1
    clock.advance(TINY)
    assert playhead.due() == 1


def test_it_wakes_exactly_when_a_step_is_due() -> None:
    playhead, clock = placed(length=10_000)
    for move in range(1, 3000):
        wake = playhead.next_wake()
        assert wake is not None
        clock.time = wake
        assert playhead.due() == 1, move
        playhead.advance(1)
        playhead.frame_sent()
    # No drift: the three thousandth step is due at its own time, not at a sum of waits.
    assert clock.time == pytest.approx(1000 + 2999 / 10, abs=1e-6)


def test_frames_come_at_most_sixty_times_a_second_with_all_that_is_due() -> None:
    playhead, clock = placed(length=10_000)
    playhead.set_speed(100)  # 1,000 steps a second
    frames, steps = 0, 0
    end = clock.time + 1.0
    while (wake := playhead.next_wake()) is not None and wake <= end:
        clock.time = wake
        moves = playhead.due()
        assert moves > 0
        start, stop = playhead.advance(moves)
        steps += stop - start
        frames += 1
        playhead.frame_sent()
    assert frames <= 60
    assert steps == pytest.approx(1000, abs=20)


def test_nothing_is_due_within_a_frame_of_the_last() -> None:
    playhead, clock = placed()
    playhead.set_speed(MAX)
    clock.advance(1)
    assert playhead.due() == MAX_MOVES
    playhead.frame_sent()
    clock.advance(FRAME_SECONDS - TINY)
    assert playhead.due() == 0
    clock.advance(TINY)
    assert playhead.due() == MAX_MOVES


def test_a_change_of_speed_keeps_the_part_of_a_step_that_has_gone_by() -> None:
    playhead, clock = placed()
    clock.advance(0.05)  # half a step
    playhead.set_speed(0.5)
    clock.advance(0.1 - TINY)  # the other half takes twice as long
    assert playhead.due() == 0
    clock.advance(TINY)
    assert playhead.due() == 1


def test_a_pause_keeps_it_too_and_play_is_idempotent() -> None:
    playhead, clock = placed()
    clock.advance(0.06)
    playhead.pause()
    playhead.pause()
    clock.advance(100)
    assert playhead.due() == 0
    assert playhead.next_wake() is None
    playhead.play()
    clock.advance(0.02)
    playhead.play()
    clock.advance(0.02 - TINY)
    assert playhead.due() == 0
    clock.advance(TINY)
    assert playhead.due() == 1


def test_a_stall_makes_it_later_and_skips_nothing() -> None:
    playhead, clock = placed(length=10_000)
    clock.advance(3600)
    assert playhead.due() == 3  # a quarter of a second's worth
    assert playhead.advance(3) == (1, 4)
    playhead.frame_sent()
    clock.advance(0.1)
    assert playhead.due() == 1


def test_places_outside_an_episode_are_its_ends() -> None:
    playhead, _ = placed()
    for asked, step in [(-1, 0), (0, 0), (99, 99), (100, 100), (101, 100)]:
        playhead.place(3, asked, 100, 100)
        assert playhead.step == step
        assert playhead.at_end is (step == 100)


def test_what_cannot_be_shown_is_passed_as_one_move() -> None:
    """Else it stood still for as long as what is missing would have lasted."""
    clock = ManualClock()
    head = Playhead(clock.now, 10.0)
    head.place(0, 3, 5000, 5000)
    head.play()
    clock.advance(0.1)
    assert head.due() == 1
    head.leap(4000)
    head.frame_sent()
    assert (head.step, head.due()) == (4000, 0)
    clock.advance(0.1)
    assert head.due() == 1


def test_the_last_move_leads_to_the_end_and_brings_no_row() -> None:
    playhead, _ = placed(length=3)
    assert playhead.advance(1) == (1, 2)
    assert playhead.advance(5) == (2, 3)
    assert playhead.at_end
    assert playhead.advance(1) == (4, 4)
    assert playhead.status == "playing"
    playhead.finish()
    assert playhead.status == "ended"


def test_a_running_episode_starves_it_and_its_growth_feeds_it() -> None:
    playhead, clock = placed(length=None, step=99)
    clock.advance(5)
    assert playhead.starved
    assert playhead.status == "waiting"
    assert playhead.next_wake() is None
    playhead.extend(None, 101)
    assert playhead.due() == 1  # it has waited long enough
    assert playhead.advance(1) == (100, 101)
    playhead.frame_sent()
    clock.advance(0.1)
    assert playhead.advance(playhead.due()) == (101, 102)
    playhead.extend(102, 102)
    assert playhead.advance(1) == (102, 102)
    assert playhead.at_end


def test_an_episode_without_a_row_yet_begins_before_step_0() -> None:
    playhead, _ = placed()
    playhead.place(4, 0, None, -1)
    assert playhead.starved
    playhead.extend(None, 1)
    assert playhead.advance(9) == (0, 2)


@pytest.mark.parametrize(
    ("presentation", "rate"),
    [({}, 10), ({"steps_per_second": 30}, 30), ({"steps_per_second": 0}, 10),
     ({"steps_per_second": True}, 10), ({"steps_per_second": math.nan}, 10),
     ({"steps_per_second": "x"}, 10)],
)  # fmt: skip
def test_the_runs_own_rate(presentation: dict[str, object], rate: float) -> None:
    assert steps_per_second(presentation) == rate


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0, 3)),
        st.tuples(st.just("speed"), st.sampled_from([0.1, 0.25, 1, 3.7, 60, 1000, MAX])),
        st.tuples(st.just("pause"), st.none()),
        st.tuples(st.just("play"), st.none()),
        st.tuples(st.just("seek"), st.integers(-5, 70)),
        st.tuples(st.just("grow"), st.integers(1, 20)),
        st.tuples(st.just("wake"), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(st.integers(0, 60), st.booleans(), ACTIONS)
def test_every_step_once_and_in_order_whatever_is_done(
    length: int, running: bool, actions: list[tuple[str, object]]
) -> None:
    """From each place it is put at, the rows that follow are the next ones, each once."""
    clock = ManualClock()
    playhead = Playhead(clock.now, 10)
    limit = length - 1 if running else length
    playhead.place(0, 0, None if running else length, limit)
    playhead.play()
    expected = playhead.step + 1
    for action, value in actions:
        match action:
            case "wait":
                clock.advance(value)  # type: ignore[arg-type]
            case "wake":
                clock.time = max(clock.time, playhead.next_wake() or 0)
            case "speed":
                playhead.set_speed(value)  # type: ignore[arg-type]
            case "pause":
                playhead.pause()
            case "play":
                playhead.play()
            case "seek":
                playhead.place(0, value, playhead.length, playhead.limit)  # type: ignore[arg-type]
                expected = playhead.step + 1
            case "grow":
                if running:
                    limit += value  # type: ignore[operator]
                    playhead.extend(None, limit)
        moves = playhead.due()
        assert moves >= 0
        if moves:
            before = playhead.step
            start, stop = playhead.advance(moves)
            assert start == before + 1
            if stop > start:
                assert start == expected
                assert stop <= max(limit + 1, length)
                expected = stop
            assert playhead.step <= playhead.limit
            playhead.frame_sent()
