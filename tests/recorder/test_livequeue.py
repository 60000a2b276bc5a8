"""The live queue: the newest episodes, bounded, the loss counted; nothing waits for it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from recorder import Channel, Episode, LiveQueue
from recorder.layout import Layout
from recorder.livequeue import MAX_BYTES, MAX_EPISODES, size_of
from recorder.marks import Marks
from recorder.packer import make_packer
from recorder.showcase import Showcase
from recorder.values import spec_for


def episode(number: int, size: int = 0) -> Episode:
    """An episode of one step whose observations take `size` bytes."""
    return Episode(
        observations=np.zeros(size, np.uint8), actions=[0], rewards=[1.0], episode=number
    )


def numbers(queue: LiveQueue) -> list[int | None]:
    return [held.episode for held in queue.drain()]


def test_it_holds_ten_episodes_or_one_mebibyte():
    """What the design promises of the default."""
    assert (MAX_EPISODES, MAX_BYTES) == (10, 1 << 20)
    queue = LiveQueue()
    assert (queue.max_episodes, queue.max_bytes) == (10, 1 << 20)


@pytest.mark.parametrize("count", [1, 9, 10, 11, 57])
def test_the_oldest_goes_when_there_are_too_many_and_is_counted(count):
    """A live view wants the newest."""
    queue = LiveQueue()
    for number in range(count):
        queue.put(episode(number))
        assert len(queue) == min(number + 1, 10)
    assert queue.dropped == max(0, count - 10)
    assert numbers(queue) == list(range(max(0, count - 10), count))
    assert (len(queue), queue.bytes) == (0, 0)


def test_the_oldest_go_when_they_are_too_large_together():
    """Just at the limit all stay; a byte above, as many go as must."""
    own = size_of(episode(0))
    queue = LiveQueue(max_bytes=3 * (own + 1000))
    for number in range(3):
        queue.put(episode(number, 1000))
    assert queue.dropped == 0
    assert queue.bytes == queue.max_bytes
    queue.put(episode(3, 1))
    assert queue.dropped == 1
    queue.put(episode(4, 2500))
    assert queue.dropped == 3
    assert queue.bytes <= queue.max_bytes
    assert numbers(queue) == [3, 4]


def test_an_episode_larger_than_the_queue_is_counted_and_pushes_nothing_out():
    """It is on the tape; the queue would hold nothing but it."""
    queue = LiveQueue(max_bytes=10_000)
    queue.put(episode(0, 100))
    queue.put(episode(1, 10_000))
    assert queue.dropped == 1
    assert numbers(queue) == [0]


def test_objects_are_counted_by_what_they_hold():
    """Composite observations are no flat arrays, and take room all the same."""
    small = Episode(observations=[{"a": np.zeros(3)}], actions=[0], rewards=[1.0])
    large = Episode(
        observations=[{"a": np.zeros(30_000), "b": ("x" * 30_000, [b"y" * 30_000])}],
        actions=[0],
        rewards=[1.0],
        channels={"q_values": np.zeros((1, 1000))},
        infos=[{"k": "z" * 30_000}],
    )
    assert size_of(large) - size_of(small) > 8 * 30_000 + 3 * 30_000 + 8000


def test_a_listener_is_called_after_each_put_until_it_is_undone():
    """It finds the episode there."""
    queue = LiveQueue()
    seen: list[int] = []
    undo = queue.on_put(lambda: seen.append(len(queue)))
    queue.put(episode(0))
    queue.put(episode(1))
    undo()
    undo()  # a second time does nothing
    queue.put(episode(2))
    assert seen == [1, 2]


def test_a_listener_that_fails_harms_neither_the_queue_nor_the_others(caplog):
    """It is logged, and goes no further."""
    queue = LiveQueue()
    seen: list[int] = []

    def fail() -> None:
        raise RuntimeError("a viewer's bug")

    queue.on_put(fail)
    queue.on_put(lambda: seen.append(1))
    queue.put(episode(0))
    queue.put(episode(1))
    assert seen == [1, 1]
    assert numbers(queue) == [0, 1]
    assert caplog.text.count("RuntimeError: a viewer's bug") == 2


def test_a_listener_may_undo_itself_while_it_is_called():
    """As one that waits for a single episode does."""
    queue = LiveQueue()
    seen: list[str] = []
    undo = queue.on_put(lambda: (seen.append("once"), undo()))
    queue.on_put(lambda: seen.append("always"))
    queue.put(episode(0))
    queue.put(episode(1))
    assert seen == ["once", "always", "always"]


def test_what_two_threads_put_and_a_third_drains_is_all_accounted_for():
    """Each episode is drained once or counted as dropped."""
    queue = LiveQueue()
    drained: list[int | None] = []
    done = threading.Event()

    def put(first: int) -> None:
        for number in range(first, first + 500):
            queue.put(episode(number))

    def drain() -> None:
        while not done.is_set():
            drained.extend(numbers(queue))

    putters = [threading.Thread(target=put, args=(first,)) for first in (0, 500)]
    drainer = threading.Thread(target=drain)
    for thread in (*putters, drainer):
        thread.start()
    for thread in putters:
        thread.join()
    done.set()
    drainer.join()
    drained.extend(numbers(queue))
    assert len(drained) == len(set(drained))
    assert len(drained) + queue.dropped == 1000


IMAGES = Layout(
    {"type": "Box", "dtype": "uint8", "shape": [10, 10]},
    {"type": "Discrete"},
    (Channel("q_values", "float64", (2,)),),
)


class Shown:
    """A showcase fed as the recorder feeds it: with what a packer gave."""

    def __init__(self, layout: Layout = IMAGES, callback=None, **queue: int) -> None:
        self.live = LiveQueue(**queue)
        self.showcase = Showcase(layout, self.live, callback)
        self.specs = [spec_for(column) for column in layout.steps]
        self.packer = make_packer(self.specs, 3, 10_000, pytest.fail)
        self.step = 0

    def take(self, steps: int, ends: list[int], more: bool = False) -> None:
        """Show `steps` more steps, with ends at these positions of the run."""
        for _ in range(steps):
            image = np.full((10, 10), self.step % 250, np.uint8)
            self.packer.record(image, self.step, 1.0, q_values=[0.0, float(self.step)])
            self.step += 1
        count, first, parts, *_ = self.packer.take(10_000)
        final = (np.full((10, 10), 255, np.uint8).tobytes(),)
        marks = [(end, final, 1, 0.5, None, None, 0.0, 0.0, ()) for end in ends]
        self.showcase.add(parts, Marks.of(marks), first, count, more)


def steps_of(shown: Episode) -> list[int]:
    assert shown.observations[:-1, 3, 3].tolist() == [int(a) % 250 for a in shown.actions]
    assert shown.channels["q_values"][:, 1].tolist() == shown.actions.tolist()
    assert (shown.observations[-1] == 255).all()
    return shown.actions.tolist()


def test_only_the_newest_of_a_take_are_built_and_the_others_are_counted():
    """Thousands end in a second; ten can be held."""
    shown = Shown()
    shown.take(60, list(range(2, 61, 2)))
    assert shown.live.dropped == 20
    episodes = shown.live.drain()
    assert [held.episode for held in episodes] == list(range(20, 30))
    assert [steps_of(held) for held in episodes] == [[2 * n, 2 * n + 1] for n in range(20, 30)]
    assert [held.first_step for held in episodes] == list(range(40, 60, 2))


def test_what_newer_episodes_are_about_to_push_out_is_counted_and_not_built():
    """A trainer that is ahead of the pump; the one that spans both takes is whole."""
    shown = Shown()
    shown.take(7, [2, 4], more=True)
    assert shown.live.dropped == 2
    shown.take(7, [9, 14])
    episodes = shown.live.drain()
    assert [held.episode for held in episodes] == [2, 3]
    assert [steps_of(held) for held in episodes] == [[4, 5, 6, 7, 8], [9, 10, 11, 12, 13]]
    assert shown.live.dropped == 2


def test_an_episode_that_comes_in_pieces_is_shown_whole():
    """Its end may come alone, or with the next one's steps."""
    shown = Shown()
    shown.take(3, [1])
    shown.take(2, [])
    shown.take(4, [7])
    shown.take(0, [9])
    assert [steps_of(held) for held in shown.live.drain()] == [
        [0], [1, 2, 3, 4, 5, 6], [7, 8],
    ]  # fmt: skip


def test_an_episode_too_long_to_hold_is_counted_and_never_shown_in_part():
    """It is on the tape; and the next one is shown again."""
    shown = Shown(max_bytes=6000)
    shown.take(30, [])
    shown.take(30, [])
    shown.take(30, [])
    shown.take(2, [91])
    shown.take(2, [93])
    assert [steps_of(held) for held in shown.live.drain()] == [[91, 92]]
    assert shown.live.dropped == 1


def test_an_episode_held_live_holds_on_to_nothing_but_itself():
    """Not to the thousands of steps that it was taken out with: the bound is on memory."""
    shown = Shown()
    shown.take(5000, [10, 2000, 2010])
    for held in shown.live.drain():
        for column in (held.observations, held.actions, held.rewards, *held.channels.values()):
            base = column
            while base.base is not None:
                base = base.base
            assert base.nbytes <= column.nbytes


def test_the_callback_is_told_of_all_and_its_failures_go_no_further(caplog):
    """Also of those that the live queue has no room for."""
    told: list[int | None] = []

    def callback(held: Episode) -> None:
        told.append(held.episode)
        if held.episode == 3:
            raise RuntimeError("a bug of the user's")

    shown = Shown(callback=callback)
    shown.take(30, list(range(1, 31)))
    assert told == list(range(30))
    assert len(shown.live) == 10
    assert shown.live.dropped == 20
    assert caplog.text.count("RuntimeError: a bug of the user's") == 1


def test_whoever_wants_the_newest_alone_has_no_other_built():
    queue, built = LiveQueue(), []
    assert queue.newest() is None

    def build(number):
        built.append(number)
        return episode(number)

    for number in range(3):
        queue.offer(lambda number=number: build(number), 1)
    assert queue.newest().episode == 2
    assert (built, len(queue), queue.bytes, queue.dropped) == ([2], 0, 0, 0)


def test_what_nobody_looks_at_is_put_off_until_somebody_asks(monkeypatch):
    """And then is what it would have been: shown, or counted."""
    gone_through: list[int] = []
    through = Showcase._go_through

    def noted(showcase, parts, marks, *rest):
        gone_through.append(len(marks))
        through(showcase, parts, marks, *rest)

    monkeypatch.setattr(Showcase, "_go_through", noted)
    asked = [
        (lambda live: live.dropped, 3),
        (len, 10),
        (lambda live: [held.episode for held in live.drain()], list(range(3, 13))),
        (lambda live: live.newest().episode, 12),
        (lambda live: live.bytes > 0, True),
        (lambda live: live.on_put(lambda: None) and len(live._held), 10),
    ]
    for ask, answer in asked:
        shown = Shown()
        shown.take(5, [2, 5])
        shown.take(3, [])
        shown.take(22, list(range(10, 31, 2)))
        assert gone_through == []
        assert ask(shown.live) == answer
        assert gone_through == [2, 0, 11]
        gone_through.clear()


def test_what_is_put_off_and_what_is_held_stay_within_the_queues_bound():
    """They are gone through when it is reached; none is missing afterwards."""
    shown, steps = Shown(max_bytes=20_000), 0
    passed = 0
    for number in range(40):
        shown.take(7, [steps + 3, steps + 7])
        steps += 7
        showcase = shown.showcase
        waiting = sum(len(part) for parts, *_ in showcase._waiting for part in parts)
        assert waiting <= showcase._waiting_bytes <= 20_000 - shown.live.held_bytes
        passed += number > 0 and len(showcase._waiting) == 1
    assert passed > 0
    held = shown.live.drain()
    assert [len(steps_of(episode)) for episode in held] == [3, 4] * (len(held) // 2)
    assert held[-1].episode == 79
    assert len(held) + shown.live.dropped == 80


def test_of_what_is_put_off_nothing_is_built_that_newer_episodes_push_out(monkeypatch):
    """A fast training, of which a take more would pass the bound each time: they are counted."""
    shown, offered = Shown(max_bytes=20_000), []
    offer = shown.live.offer
    monkeypatch.setattr(
        shown.live, "offer", lambda build, size: offered.append(size) or offer(build, size)
    )
    for first in range(0, 600, 60):
        shown.take(60, list(range(first + 5, first + 61, 5)))
        assert len(shown.showcase._waiting) == 1
    assert not offered
    episodes = shown.live.drain()
    assert [held.episode for held in episodes] == list(range(110, 120))
    assert [steps_of(held)[0] for held in episodes] == list(range(550, 600, 5))
    assert (len(offered), shown.live.dropped) == (10, 110)


def test_a_listener_hears_of_nothing_that_came_before_it():
    """What was put off is in the queue when it comes, and what follows is put off no more."""
    shown, heard = Shown(), []
    shown.take(4, [2, 4])
    shown.live.on_put(lambda: heard.append(len(shown.live)))
    assert heard == []
    shown.take(2, [6])
    assert heard == [3]


def test_whoever_asks_from_other_threads_misses_nothing():
    """Each episode is drained once, in order, or counted as dropped."""
    shown, drained, done = Shown(), [], threading.Event()

    def drain() -> None:
        while not done.is_set():
            drained.extend(shown.live.drain())

    drainers = [threading.Thread(target=drain) for _ in range(2)]
    for thread in drainers:
        thread.start()
    for number in range(300):
        shown.take(2, [2 * number + 2])
    done.set()
    for thread in drainers:
        thread.join()
    drained.extend(shown.live.drain())
    assert len(drained) + shown.live.dropped == 300
    assert len({held.episode for held in drained}) == len(drained)
    for held in drained:
        assert steps_of(held) == [2 * held.episode, 2 * held.episode + 1]


def test_who_asks_while_another_goes_through_what_was_put_off_waits_for_it(monkeypatch):
    """Half of it is no answer."""
    shown, told = Shown(), []
    shown.take(26, list(range(2, 27, 2)))
    other = threading.Thread(target=lambda: told.append(shown.live.dropped))
    through = Showcase._go_through

    def slowly(showcase, *given):
        other.start()
        other.join(0.05)  # all the time that it needs, if nothing held it up
        through(showcase, *given)

    monkeypatch.setattr(Showcase, "_go_through", slowly)
    assert shown.live.dropped == 3
    other.join()
    assert told == [3]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_breaks_off_who_asks_costs_the_episodes_of_that_take_alone(monkeypatch, error):
    """An interrupt reaches whoever asks; the numbers of what follows stay right."""
    shown = Shown()
    shown.take(5, [2, 4])
    shown.take(4, [6, 8])
    offer, calls = shown.live.offer, []

    def failing(build, size):
        calls.append(size)
        if len(calls) == 2:
            raise error
        offer(build, size)

    monkeypatch.setattr(shown.live, "offer", failing)
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            shown.live.drain()
    held = shown.live.drain()
    assert [episode.episode for episode in held] == [0, 3]
    assert [steps_of(episode) for episode in held] == [[0, 1], [6, 7]]
    assert shown.live.dropped == 2


@pytest.mark.parametrize("watched", [True, False])
def test_after_an_episode_that_could_not_be_shown_none_is_shown_in_part(monkeypatch, watched):
    """Its take's last steps are missing from the next one, which is counted; numbers stay right."""
    shown = Shown()
    if watched:  # else what is taken is put off, and gone through when somebody asks
        shown.live.on_put(lambda: None)
    offer = shown.live.offer

    def failing(build, size):
        monkeypatch.setattr(shown.live, "offer", offer)
        raise RuntimeError

    monkeypatch.setattr(shown.live, "offer", failing)
    shown.take(3, [])
    shown.take(5, [5])
    shown.take(2, [])
    shown.take(4, [11, 13])
    held = shown.live.drain()
    assert [(episode.episode, steps_of(episode)) for episode in held] == [(2, [11, 12])]
    assert shown.live.dropped == 2
