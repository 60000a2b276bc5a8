"""`live_stream_callback` may do what it likes: nothing waits for it, nothing ends with it."""

from __future__ import annotations

import threading

import pytest
from recorder_kit import new_recorder, record_episode

from recorder import Episode, open_run
from recorder.callback import CallbackThread


def an_episode(number: int) -> Episode:
    return Episode([0, 1], [0], [1.0], terminated=True, episode=number)


def test_a_callback_that_never_returns_keeps_neither_training_nor_the_tape_waiting(
    tmp_path, monkeypatch
):
    """While it hangs, steps are recorded and committed; close gives it up."""
    monkeypatch.setattr("recorder.callback.CLOSE_S", 0.01)
    monkeypatch.setattr(CallbackThread.close, "__defaults__", (0.01,))
    release = threading.Event()
    recorder = new_recorder(tmp_path, live_stream_callback=lambda _: release.wait())
    for _ in range(500):
        record_episode(recorder, [1.0, 2.0])
    assert recorder.flush()
    with open_run(recorder.path) as run:
        assert run.counts().episodes == 500
    recorder.close()
    release.set()


def test_a_callback_may_close_its_recorder(tmp_path, caplog):
    """From the callback's own thread, which does not wait for itself."""
    closed = threading.Event()

    def callback(_: Episode) -> None:
        recorder.close()
        closed.set()

    recorder = new_recorder(tmp_path, live_stream_callback=callback)
    record_episode(recorder, [1.0, 2.0])
    assert recorder.flush()
    assert closed.wait(60)
    recorder.close()
    with open_run(recorder.path) as run:
        assert run.info.status == "finished"
        assert run.counts().episodes == 1
    assert not caplog.records


@pytest.mark.parametrize("fault", [ValueError, SystemExit, KeyboardInterrupt])
def test_whatever_a_callback_raises_ends_that_call_and_no_more(fault, caplog):
    """The next episode is handed in all the same."""
    told = []

    def callback(episode):
        told.append(episode.episode)
        if episode.episode == 0:
            raise fault

    thread = CallbackThread(callback)
    thread.put(an_episode(0))
    thread.put(an_episode(1))
    thread.close()
    assert told == [0, 1]
    assert "live_stream_callback failed" in caplog.text


def test_a_slow_callback_is_spared_the_oldest_and_they_are_counted():
    """What waits is bounded by bytes; the newest is always there."""
    told, begun, release = [], threading.Event(), threading.Event()

    def callback(episode):
        begun.set()
        release.wait()
        told.append(episode.episode)

    thread = CallbackThread(callback, waiting_bytes=5_000)
    thread.put(an_episode(0))
    assert begun.wait(10)
    for number in range(1, 101):
        thread.put(an_episode(number))
    release.set()
    thread.close()
    assert told[0] == 0
    assert told[-1] == 100
    assert told[1:] == list(range(101 - len(told[1:]), 101))
    assert thread.dropped == 101 - len(told) > 0
