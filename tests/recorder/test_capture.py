"""The training thread's side: steps and ends, whole or not at all, in order."""

from __future__ import annotations

import math
import threading
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from recorder import Channel, ChannelError, Episode, RecorderError, SpaceError
from recorder.capture import Capture
from recorder.columns import Column
from recorder.describe import describe
from recorder.layout import Layout
from recorder.values import spec_for

CHANNELS = (
    Channel("q_values", "float64", (3,)),
    Channel("explored", "bool"),
    Channel("visits", "int16"),
)
LAYOUT = Layout(describe(spaces.Discrete(9)), describe(spaces.Discrete(3)), CHANNELS)
GOOD: dict[str, Any] = {"q_values": [0.0, 1.0, 2.0], "explored": False, "visits": 4}


def new_capture(layout: Layout = LAYOUT, limit: int = 1000, full=pytest.fail) -> Capture:
    return Capture(layout, limit, full)


def taken(capture: Capture, most: int = 10_000) -> dict[str, np.ndarray]:
    """The columns of all steps held."""
    count, _, parts, _ = capture.take(most)
    return {
        spec.column.name: spec.rows(part, count)
        for spec, part in zip(capture._specs, parts, strict=True)
    }


@pytest.fixture(autouse=True)
def either_packer(packer: str) -> str:
    """Each test runs with both packers."""
    return packer


@pytest.mark.parametrize(
    "value", [3, np.int64(3), np.uint8(3), np.array(3), np.array(3, np.int32), True + 2]
)
def test_numbers_of_numpy_are_recorded_like_pythons(value):
    """Environments and agents return both."""
    capture = new_capture()
    capture.record_step(value, np.int64(1), np.float32(0.5), **GOOD | {"visits": value})
    capture.record_step(1, 2, 7, **GOOD | {"explored": np.bool_(True)})
    capture.record_step(1, 2, True, **GOOD | {"explored": 1})
    columns = taken(capture)
    assert columns["observation"].tolist() == [3, 1, 1]
    assert columns["visits"].tolist() == [3, 4, 4]
    assert columns["reward"].tolist() == [0.5, 7.0, 1.0]
    assert columns["explored"].tolist() == [False, True, True]


@pytest.mark.parametrize("reward", [Fraction(1, 2), Decimal("0.5"), np.longdouble(0.5)])
def test_a_reward_is_whatever_gymnasium_takes_for_one(reward):
    """Its type is `SupportsFloat`: a tensor is one, too."""
    capture = new_capture()
    assert capture.record_step(1, 2, reward, **GOOD) == 0.5
    assert taken(capture)["reward"].tolist() == [0.5]


def test_what_is_too_large_for_a_narrow_float_is_infinite_in_it_without_a_warning():
    """A warning, where it is made an error, would cost whoever looks on the episode."""
    spec = spec_for(Column("value", "float32"))
    assert spec.rows(np.array([1e300, -1e300, 1.5]).tobytes(), 3).tolist() == [
        math.inf,
        -math.inf,
        1.5,
    ]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"q_values": [1.0, 2.0]}, ChannelError),
        ({"q_values": [[1.0, 2.0, 3.0]]}, ChannelError),
        ({"q_values": np.zeros((3, 1))}, ChannelError),
        ({"q_values": [1.0, "2", None]}, ChannelError),
        ({"q_values": 1.0}, ChannelError),
        ({"q_values": None}, ChannelError),
        ({"explored": 2}, ChannelError),
        ({"explored": "yes"}, ChannelError),
        ({"explored": [True]}, ChannelError),
        ({"visits": 1.5}, ChannelError),
        ({"visits": np.zeros(1)}, ChannelError),
        ({"reward": "1"}, ChannelError),
        ({"reward": np.zeros(1)}, ChannelError),
        ({"reward": None}, ChannelError),
        ({"reward": 1j}, ChannelError),
        ({"action": [1]}, SpaceError),
        ({"observation": 1.5}, SpaceError),
        ({"other": 1}, TypeError),
    ],
)
def test_a_value_of_another_form_than_declared_raises_and_records_nothing(changes, error):
    """The error says which column, what was expected and what came."""
    capture = new_capture()
    step = {"observation": 1, "action": 2, "reward": 1.0, **GOOD, **changes}
    positional = [step.pop(name) for name in ("observation", "action", "reward")]
    with pytest.raises(error, match=next(iter(changes))):
        capture.record_step(*positional, **step)
    assert capture.packer.position == 0
    assert all(len(rows) == 0 for rows in taken(capture).values())


@pytest.mark.parametrize("name", GOOD)
def test_a_declared_channel_must_be_given(name):
    """A hole in a column would shift all that follows."""
    capture = new_capture()
    with pytest.raises(TypeError, match=name):
        capture.record_step(1, 2, 1.0, **{k: v for k, v in GOOD.items() if k != name})
    assert capture.packer.position == 0


def test_what_is_recorded_is_copied_at_once():
    """An agent goes on to change the row of its table that it handed in."""
    layout = Layout(
        describe(spaces.Box(-9, 9, (2,), np.float64)),
        describe(spaces.Sequence(spaces.Discrete(5))),
        (Channel("q_values", "float64", (3,)), Channel("table", "float32", (20,))),
        infos=True,
    )
    capture = new_capture(layout)
    observation, action, row = np.array([1.0, 2.0]), [1, 2], [1.0, 2.0, 3.0]
    table, info = np.zeros(20, np.float32), {"lives": [3]}
    capture.record_step(observation, action, 1.0, q_values=row, table=table, info=info)
    final = capture.flatten_final(observation)
    observation[:], row[:], table[:] = 9, [9.0, 9.0, 9.0], 9
    action.append(9)
    info["lives"].append(9)
    columns = taken(capture)
    assert columns["observation"].tolist() == [[1.0, 2.0]]
    assert columns["q_values"].tolist() == [[1.0, 2.0, 3.0]]
    assert not columns["table"].any()
    assert columns["action"][0] == b"\x92\x01\x02"
    assert b"\x09" not in columns["info"][0]
    assert np.frombuffer(final[0]).tolist() == [1.0, 2.0]


def test_infos_may_be_left_out():
    """An environment has none to tell at some steps."""
    capture = new_capture(Layout(LAYOUT.observation_space, LAYOUT.action_space, infos=True))
    capture.record_step(1, 2, 1.0)
    capture.record_step(1, 2, 1.0, info={"a": 1})
    assert taken(capture)["info"].tolist() == [b"\xc0", b"\x81\xa1a\x01"]


def whole(**changes: Any) -> Episode:
    fields: dict[str, Any] = {
        "observations": [0, 1, 2],
        "actions": [0, 1],
        "rewards": [0.5, 1.5],
        "channels": {"q_values": np.ones((2, 3)), "explored": [True, False], "visits": [1, 2]},
        **changes,
    }
    return Episode(**fields)


@pytest.mark.parametrize(
    "changes",
    [
        {"observations": [0, "x", 2]},
        {"actions": [0]},
        {"actions": [0, 1, 2]},
        {"actions": [0, None]},
        {"channels": {}},
        {"channels": {**whole().channels, "other": [1, 2]}},
        {"channels": {**whole().channels, "q_values": np.ones((2, 4))}},
        {"channels": {**whole().channels, "q_values": np.ones((3, 3))}},
        {"channels": {**whole().channels, "explored": [True, 3]}},
        {"channels": {**whole().channels, "visits": [1]}},
    ],
)
def test_an_episode_with_a_column_that_does_not_fit_is_not_recorded_in_part(changes):
    """Wherever in it the misfit stands."""
    capture = new_capture()
    with pytest.raises(RecorderError, match="expected"):
        capture.extend(whole(**changes), 2)
    assert capture.packer.position == 0


def test_an_episode_that_lacks_part_of_a_dict_is_not_recorded_in_part():
    """A value deep inside a space of its own."""
    space = describe(spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Discrete(3)}))
    capture = new_capture(Layout(space, LAYOUT.action_space))
    episode = Episode([{"a": 1, "b": 1}, {"a": 1}], [0, 1], [0.0, 1.0])
    with pytest.raises(SpaceError, match="missing 'b'"):
        capture.extend(episode, 2)
    assert capture.packer.position == 0


def test_ends_come_out_with_the_steps_they_stand_behind():
    """A take that stops between two ends leaves the second for the next."""
    capture = new_capture(Layout(LAYOUT.observation_space, LAYOUT.action_space))
    for step in range(6):
        capture.record_step(step, 0, 1.0)
        if step in (1, 4):
            capture.end((step + 1, None, 0, None, None, None, 0.0, 0.0, ()))
    came = []
    for most in (1, 1, 2, 9):
        count, first, _, marks = capture.take(most)
        came.append((first, count, [mark[0] for mark in marks]))
    assert came == [(0, 1, []), (1, 1, [2]), (2, 2, []), (4, 2, [5])]


def test_an_end_told_after_its_last_step_was_taken_comes_alone():
    """The writer was quicker than the training loop."""
    capture = new_capture(Layout(LAYOUT.observation_space, LAYOUT.action_space))
    capture.record_step(0, 0, 1.0)
    assert capture.take(9)[0] == 1
    capture.end((1, None, 0, None, None, None, 0.0, 0.0, ()))
    count, first, _, marks = capture.take(9)
    assert (count, first, [mark[0] for mark in marks]) == (0, 1, [1])
    assert not capture.take(9)[3]


def test_steps_and_ends_stay_in_step_while_another_thread_takes():
    """Each end comes out once, with the take that reaches its position, or a later one."""
    capture = new_capture(Layout(LAYOUT.observation_space, LAYOUT.action_space), 64, lambda: None)
    episodes, length = 300, 7
    steps: list[int] = []
    ends: list[int] = []
    early: list[int] = []

    def take() -> None:
        while len(ends) < episodes:
            _, first, parts, marks = capture.take(16)
            assert first == len(steps)
            steps.extend(np.frombuffer(parts[0], np.int64).tolist())
            early.extend(mark[0] for mark in marks if mark[0] > len(steps))
            ends.extend(mark[0] for mark in marks)

    taker = threading.Thread(target=take)
    taker.start()
    for step in range(episodes * length):
        capture.record_step(step, 0, 1.0)
        if (step + 1) % length == 0:
            capture.end((step + 1, None, 0, None, None, None, 0.0, 0.0, ()))
    taker.join()
    assert not early
    assert steps == list(range(episodes * length))
    assert ends == list(range(length, episodes * length + 1, length))


def test_common_ends_and_others_come_out_in_their_order():
    """The compiled packer notes the common ones itself, the others it is handed."""
    capture = new_capture(Layout(LAYOUT.observation_space, LAYOUT.action_space))
    packer = capture.packer

    def finish(final, terminated, truncated, epsilon=None, seed=None):
        flags = terminated + 2 * truncated
        capture.end((packer.position, (final,), flags, epsilon, seed, None, 100.0, 1.0, ()))
        packer.ended = packer.position
        return -1

    packer.arm(-1, finish, lambda: 5.0, 96.0, 1e9, True)
    packer.started = 4.0
    for step, facts in enumerate(({}, {"epsilon": 0.5}, {"seed": 7}, {"epsilon": 0.25})):
        capture.record_step(step, 0, 1.0)
        packer.finish(step + 1, terminated=step % 2 == 0, truncated=step % 2 == 1, **facts)
        packer.started = 4.0
    _, _, _, marks = capture.take(3)
    _, _, _, rest = capture.take(3)
    assert [*marks, *rest] == [
        (1, (1,), 1, None, None, None, 100.0, 1.0, ()),
        (2, (2,), 2, 0.5, None, None, 100.0, 1.0, ()),
        (3, (3,), 1, None, 7, None, 100.0, 1.0, ()),
        (4, (4,), 2, 0.25, None, None, 100.0, 1.0, ()),
    ]
    assert len(marks) == 3


BOX = Layout(describe(spaces.Box(-9, 9, (2,), np.float32)), describe(spaces.Discrete(2)))
LAST = np.array([1.5, -0.0], np.float32)


@pytest.mark.parametrize(
    ("final", "facts", "is_common"),
    [
        (LAST, {"terminated": True}, True),
        (LAST, {"truncated": np.True_, "epsilon": 0.5, "duration_s": 2.0, "tags": ()}, True),
        (LAST, {"seed": None, "stage": None, "epsilon": None, "duration_s": None}, True),
        (LAST, {"terminated": True, "seed": 7}, False),
        (LAST, {"terminated": True, "tags": ("a",)}, False),
        (LAST, {"terminated": True, "duration_s": -1.0}, False),
        (LAST.astype(np.float64), {"terminated": True}, False),
        (np.repeat(LAST, 2)[::2], {"terminated": True}, False),
        (np.zeros(3, np.float32), {"terminated": True}, False),
        ([1.5, 0.0], {"terminated": True}, False),
        (None, {"terminated": True}, False),
    ],
)
def test_an_end_with_an_array_is_noted_by_the_compiled_packer_if_it_is_common(
    packer, final, facts, is_common
):
    """Python's way is asked for all others, with all that was given."""
    capture = new_capture(BOX)
    asked: list[Any] = []
    capture.packer.arm(
        -1, lambda *given, **more: asked.append((given, more)) or 3, lambda: 5.0, 96.0, 1e9,
        capture.plain_final,
    )  # fmt: skip
    capture.packer.started = 4.0
    capture.record_step(LAST, 0, 1.0)
    number = capture.packer.finish(final, **facts)
    _, _, _, marks = capture.take(9)
    if packer == "compiled" and is_common:
        flags = int(facts.get("terminated", 0)) + 2 * int(facts.get("truncated", 0)) or 4
        duration = facts.get("duration_s") or 1.0
        assert [*marks] == [
            (1, (LAST.tobytes(),), flags, facts.get("epsilon"), None, None, 100.0, duration, ())
        ]
        assert (number, asked, capture.packer.ended, capture.packer.started) == (0, [], 1, 5.0)
    else:
        assert not marks
        assert number == 3
        ((given, more),) = asked
        assert given[0] is final
        assert more == facts


def test_what_an_end_is_told_counts_whatever_the_one_before_was_told(packer):
    """Calls from several places in the code have several keywords, in any order."""
    capture = new_capture(Layout(LAYOUT.observation_space, LAYOUT.action_space))
    asked: list[Any] = []

    def finish(final, **facts):
        asked.append(facts)
        capture.packer.ended = capture.packer.position
        return -1

    capture.packer.arm(-1, finish, lambda: 5.0, 96.0, 1e9, True)
    told: list[tuple[dict[str, Any], tuple[Any, ...] | None]] = [
        ({"terminated": True, "epsilon": 0.5}, (1, 0.5, 1.0)),
        ({"epsilon": 0.25, "truncated": True}, (2, 0.25, 1.0)),
        ({}, (4, None, 1.0)),
        ({"truncated": np.False_, "terminated": 1, "incomplete": True}, (5, None, 1.0)),
        ({"duration_s": 3.0, "tags": (), "stage": None, "terminated": True}, (1, None, 3.0)),
        ({"duration_s": math.nan, "terminated": True}, None),
        ({"other": 1, "terminated": True}, None),
        ({"terminated": True, "epsilon": 1}, None),
        ({"terminated": True, "epsilon": 0.5}, (1, 0.5, 1.0)),
        ({"terminated": True, "stage": "a"}, None),
        ({}, (4, None, 1.0)),
    ]
    for facts, _ in told:
        capture.record_step(0, 0, 1.0)
        capture.packer.started = 4.0
        capture.packer.finish(7, **facts)
    if packer == "python":
        assert asked == [facts for facts, _ in told]
        return
    assert [repr(facts) for facts in asked] == [repr(facts) for facts, noted in told if not noted]
    marks = capture.take(99)[3]
    assert [(mark[2], mark[3], mark[7]) for mark in marks] == [noted for _, noted in told if noted]
    assert [mark[0] for mark in marks] == [i + 1 for i, (_, noted) in enumerate(told) if noted]


class Nested:
    """A flag that holds, and that does something when it is asked."""

    def __init__(self, does):
        self._does = [does]

    def __bool__(self):
        if self._does:
            self._does.pop()()
        return True


def armed(finish) -> Capture:
    capture = new_capture(Layout(LAYOUT.observation_space, LAYOUT.action_space))
    capture.packer.arm(-1, finish, lambda: 5.0, 96.0, 1e9, True)
    capture.record_step(0, 0, 1.0)
    return capture


def test_a_flag_that_calls_for_an_end_itself_changes_no_other_flag(packer):
    """A class's `__bool__` may, and so may a signal's handler that runs within it."""
    if packer == "python":
        pytest.skip("takes its keywords from Python")
    capture = armed(lambda final, **facts: -1)
    nested = Nested(lambda: capture.packer.finish("refused", truncated=False, terminated=False))
    capture.packer.finish(7, terminated=nested, truncated=False, incomplete=False)
    (mark,) = capture.take(99)[3]
    assert mark[2] == 1


def test_an_episode_that_ended_while_a_flag_was_asked_does_not_end_twice(packer):
    """What is beyond the common form is told by the recorder, which refuses it."""
    if packer == "python":
        pytest.skip("the recorder does all of it")
    asked: list[Any] = []
    capture = armed(lambda final, **facts: asked.append(facts) or -1)
    nested = Nested(lambda: capture.packer.finish(7, truncated=True))
    assert capture.packer.finish(7, terminated=nested) == -1
    assert asked == [{"terminated": nested}]
    assert [mark[2] for mark in capture.take(99)[3]] == [2]
