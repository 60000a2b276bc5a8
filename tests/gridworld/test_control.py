"""`Control`: what it lets through, what it holds, what it refuses. Time is a test's own."""

from __future__ import annotations

import threading

import gymnasium as gym
import pytest

from gridworld import InvalidCommand, QLearningAgent, train
from gridworld.control import Control, Status


class Time:
    """A clock that stands."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def control(time):
    """One whose waits end at once, with the time they would have taken."""

    def wait(seconds):
        time.now += seconds

    return Control(clock=time, wait=wait)


def run(control, episodes=40):
    """Train in this thread."""
    env = gym.make("GridWorld-v0")
    agent = QLearningAgent(env.observation_space, env.action_space, seed=5)
    results = []
    result = train(env, agent, episodes, seed=5, control=control, callbacks=[results.append])
    return result, results


def test_an_idle_control_is_not_even_asked(control):
    """After the first look it is clear, and stays so."""
    run(control, 1)
    assert control.clear
    control.hold = None
    assert run(control, 3)[0].episodes == 3


@pytest.mark.parametrize("by", [1, 7])
def test_single_steps_are_single(time, by):
    """Of a paused training exactly as many are taken, in and across episodes."""
    told = iter([by] * 9)
    taken = []

    def on_wait(seconds):
        assert control.status is Status.PAUSED
        for count in told:
            control.step(count)
            taken.append(count)
            assert control.status is Status.STEPPING
            return
        control.stop()

    control = Control(paused=True, clock=time, wait=on_wait)
    result, _ = run(control)
    assert result.steps == 9 * by


def test_an_episode_at_a_time(time):
    """One begun by single steps is played to its end, and counts as one."""
    seen = []
    commands = iter(
        [
            lambda: control.step(2),
            lambda: control.step(1, by_episode=True),
            lambda: control.step(3, by_episode=True),
            lambda: control.stop(),
        ]
    )
    env = gym.make("GridWorld-v0")
    agent = QLearningAgent(env.observation_space, env.action_space, seed=5)
    results = []

    def on_wait(seconds):
        seen.append(len(results))
        next(commands)()

    control = Control(paused=True, clock=time, wait=on_wait)
    result = train(env, agent, 40, seed=5, control=control, callbacks=[results.append])
    assert seen == [0, 0, 1, 4]
    assert (result.episodes, result.incomplete) == (4, False)


def test_steps_are_spaced_evenly(control, time):
    """Ten a second, whatever time is lost elsewhere."""
    control.pace(10)
    result, _ = run(control, 2)
    assert time.now - 100 == pytest.approx(result.steps / 10, abs=0.11)


def test_episodes_are_spaced_evenly(control, time):
    control.pace(4, by_episode=True)
    run(control, 9)
    assert time.now - 100 == pytest.approx(9 / 4, abs=0.26)


def test_lost_time_is_not_made_up_for(control, time):
    """After ten seconds elsewhere, the next steps keep their distance."""
    control.pace(10)
    control.hold(False)
    time.now += 10
    begin = time.now
    for _ in range(5):
        control.hold(False)
    assert time.now - begin == pytest.approx(0.4)


def test_full_speed_is_full_speed_again(control, time):
    control.pace(0.001)
    control.hold(False)
    control.pace(None)
    control.hold(False)
    assert control.clear
    assert time.now == 100


def test_a_wait_ends_with_a_signal(time):
    """Paced at one step in 1000 s, it ends at the next look."""
    signalled = []
    control = Control(ends=lambda: bool(signalled), clock=time, wait=signalled.append)
    control.pace(0.001)
    result, _ = run(control)
    assert (result.steps, result.incomplete) == (1, True)
    assert control.status is Status.STOPPING


def test_a_stop_is_heard_from_another_thread():
    """Paused for good, until a thread says so."""
    control = Control(paused=True)
    threading.Timer(0.01, control.stop).start()
    assert run(control)[0].steps == 0


def test_jobs_are_done_where_they_belong(time):
    """`soon` in the middle of an episode, `next_episode` only between two."""
    done = []
    commands = iter(
        [
            lambda: control.step(3),
            lambda: (control.next_episode(lambda: done.append("between")),
                     control.soon(lambda: done.append("soon"))),
            lambda: done.append("waited"),
            lambda: control.step(1, by_episode=True),
            lambda: (done.append("ended"), control.stop()),
        ]
    )  # fmt: skip
    control = Control(paused=True, clock=time, wait=lambda seconds: next(commands)())
    run(control)
    assert done == ["soon", "waited", "between", "ended"]


def test_an_interruption_ends_the_loop_and_is_given_once(control):
    job = object()
    control.interrupt(lambda: job)
    with pytest.raises(InvalidCommand, match="one reset or load at a time"):
        control.interrupt(lambda: None)
    assert control.hold(True)
    assert control.interruption()() is job
    assert control.interruption() is None
    assert not control.hold(True)


def test_a_reset_drops_what_waited_for_the_next_episode(control):
    """And a load does not; what comes after it waits anew."""
    done = []
    for forget in (False, True):
        control.next_episode(lambda forget=forget: done.append((forget, "before")))
        control.interrupt(bool, forget=forget)
        control.next_episode(lambda forget=forget: done.append((forget, "after")))
        assert control.hold(True)
        control.interruption()
        control.hold(True)
    assert done == [(False, "before"), (False, "after"), (True, "after")]


def refused(command, code):
    with pytest.raises(InvalidCommand) as caught:
        command()
    assert caught.value.code == code


def test_commands_in_the_wrong_order_change_nothing(control):
    refused(control.resume, "already_running")
    refused(control.step, "not_paused")
    assert control.status is Status.RUNNING
    control.pause()
    refused(control.pause, "already_paused")
    control.step(5)
    refused(lambda: control.step(1, by_episode=True), "stepping")
    assert control.status is Status.STEPPING
    control.pause()
    assert control.status is Status.PAUSED
    control.stop()
    for command in (control.stop, control.pause, control.resume, control.step,
                    lambda: control.pace(None), lambda: control.interrupt(bool)):  # fmt: skip
        refused(command, "already_stopping")
    control.end()
    refused(control.stop, "training_over")
    assert control.status is Status.ENDED


def test_an_episode_that_waited_is_told_when_it_begins(control, time):
    """So that its time on the tape is its own."""
    began = []
    control.resumed = lambda: began.append(time.now)
    control.pace(2, by_episode=True)
    run(control, 3)
    assert began == pytest.approx([100.5, 101.0], abs=0.01)
