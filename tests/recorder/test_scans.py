"""Statements that are read at the same time give what they give one after the other."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from recorder_kit import new_recorder, record_episode

from recorder import DamagedTape
from recorder.scans import Scans


@pytest.fixture
def scans(tmp_path: Path):
    with new_recorder(tmp_path, run_id="one") as recorder:
        for episode in range(50):
            record_episode(recorder, [1.0] * (episode % 7 + 1))
    scans = Scans(tmp_path / "one")
    yield scans
    scans.close()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 9])
def test_rows_come_in_the_order_they_were_asked_for(scans, count):
    asked = [("SELECT episode FROM episodes WHERE length = ?", (n,)) for n in range(count)]
    assert scans.each(asked) == [scans(*one) for one in asked]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_fault_is_told_wherever_it_was_met(scans, place):
    asked = [("SELECT 1", ())] * 3
    asked[place] = ("SELECT none FROM nowhere", ())
    with pytest.raises(DamagedTape, match="nowhere"):
        scans.each(asked)
    assert scans.each([("SELECT 1", ())] * 3) == [[(1,)]] * 3


def test_many_may_ask_at_once_and_no_thread_stays(scans):
    asked = [("SELECT sum(length) FROM episodes WHERE episode % 3 = ?", (n,)) for n in range(5)]
    expected = [scans(*one) for one in asked]
    found = []
    before = {*threading.enumerate()}
    threads = [threading.Thread(target=lambda: found.append(scans.each(asked))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8
    assert {*threading.enumerate()} <= before
