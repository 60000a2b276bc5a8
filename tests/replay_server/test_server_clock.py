"""Beats that stay even though whoever keeps them comes late."""

from __future__ import annotations

import random

import pytest

from replay_server.clock import Metronome


@pytest.mark.parametrize("late", [0.0, 0.03, 0.09])
def test_ten_beats_a_second_however_late_each_is_noticed(late: float) -> None:
    metronome, chance = Metronome(0.1), random.Random(3)
    beats, now = 0, 50.0
    while now < 70.0:
        beats += metronome.beat(now)
        assert not metronome.beat(now)
        now = max(now, metronome.due) + chance.uniform(0, late)
    assert 199 <= beats <= 201


def test_beats_that_were_missed_are_not_made_up_for() -> None:
    metronome = Metronome(0.1)
    assert metronome.beat(50.0)
    assert metronome.beat(60.0)
    assert not metronome.beat(60.05)
    assert metronome.beat(60.1)
