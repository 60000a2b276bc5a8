"""The compiled packer and its twin in Python do the same; steps go in whole or not at all."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorder_kit import need_compiled

from recorder import RecorderError
from recorder.columns import Column
from recorder.marks import Marks
from recorder.packer import make_packer
from recorder.python_packer import PythonPacker
from recorder.values import spec_for

COLUMNS = (
    Column("observation", "int64"),
    Column("action", "float32", (2,)),
    Column("reward", "float64"),
    Column("narrow", "uint8"),
    Column("wide", "uint64"),
    Column("half", "float16"),
    Column("flag", "bool"),
    Column("row", "float64", (3,)),
    Column("floats", "float32", (2,)),
    Column("mask", "bool", (3,)),
    Column("image", "uint8", (2, 2)),
    Column("nothing", "float64", (0,)),
    Column("thing", "packed"),
)
GOOD: dict[str, Any] = {
    "observation": 1, "action": np.zeros(2, np.float32), "reward": 1.0, "narrow": 2, "wide": 3,
    "half": 0.5, "flag": True, "row": [1.0, 2.0, 3.0], "floats": [1.0, 2.0],
    "mask": [True, False, True], "image": np.zeros((2, 2), np.uint8), "nothing": [],
    "thing": {"a": 1},
}  # fmt: skip

NUMBERS = st.one_of(
    st.integers(),
    st.integers(-3, 300),
    st.floats(),
    st.booleans(),
    st.sampled_from([np.int64(-1), np.uint8(7), np.float32(0.1), np.bool_(True), np.array(4)]),
    st.sampled_from([np.array(2.5), np.longlong(5), np.float64("nan"), 1 << 63, -(1 << 70)]),
)
ANYTHING = st.one_of(
    NUMBERS,
    st.none(),
    st.text(max_size=2),
    st.lists(NUMBERS, max_size=4),
    st.lists(NUMBERS, max_size=4).map(tuple),
    st.lists(st.floats(width=32), min_size=2, max_size=3).map(np.array),
    st.sampled_from(
        [
            np.zeros((2, 2), np.uint8),
            np.arange(8, dtype=np.uint8).reshape(2, 4)[:, ::2],
            np.arange(2.0, dtype=">f4"),
            np.arange(3, dtype=np.longlong),
            np.zeros((2, 2)),
            bytes(4),
            object(),
        ]
    ),
)

POSITIONAL = ("observation", "action", "reward")

# What a tabular agent records, which the compiled packer writes in one go.
TABULAR = tuple(
    (Column("observation", observation), Column("action", action), COLUMNS[2], *channels)
    for observation, action in (("uint8", "uint8"), ("int64", "int16"), ("uint32", "int32"))
    for channels in ((), (COLUMNS[7],), (COLUMNS[6],), (COLUMNS[7], COLUMNS[6]))
)


def both(columns=COLUMNS):
    need_compiled()
    specs = tuple(map(spec_for, columns))
    return make_packer(specs, 3, 64, pytest.fail), PythonPacker(specs, 3, 64, pytest.fail)


def call(packer, values: dict[str, Any]) -> Any:
    """What came of a step: the reward's text, or the error's type and words."""
    values = dict(values)
    positional = [values.pop(name) for name in POSITIONAL]
    try:
        reward = packer.record(*positional, **values)
    except (RecorderError, TypeError) as error:
        return type(error), str(error)
    assert type(reward) is float
    return repr(reward)


@given(st.lists(st.dictionaries(st.sampled_from(list(GOOD)), ANYTHING, max_size=2), max_size=6))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value")
def test_compiled_and_python_packers_take_and_refuse_the_same(steps):
    """Any values whatever: the same steps are taken, to the same bytes, with the same errors."""
    compiled, python = both()
    for changes in steps:
        step = GOOD | changes
        outcomes = call(compiled, step), call(python, step)
        if len(changes) > 1:  # which of two misfits is told is left open
            outcomes = tuple(outcome is None for outcome in outcomes)
        assert outcomes[0] == outcomes[1]
    assert (compiled.count, compiled.position) == (python.count, python.position)
    assert compiled.take(99) == python.take(99)


@given(
    st.sampled_from(TABULAR),
    st.lists(
        st.dictionaries(st.sampled_from([*POSITIONAL, "row", "flag"]), ANYTHING, max_size=1),
        max_size=6,
    ),
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value")
def test_both_take_and_refuse_the_same_of_a_tabular_agent(columns, steps):
    """With any of the channels that such an agent has, and values that fit or do not."""
    compiled, python = both(columns)
    names = [column.name for column in columns]
    good = {name: GOOD[name] for name in names} | {"action": 3}
    for changes in steps:
        step = good | {name: changes[name] for name in names if name in changes}
        assert call(compiled, step) == call(python, step)
    assert call(compiled, good) == call(python, good) == "1.0"
    assert compiled.open_episode() == pytest.approx(python.open_episode(), nan_ok=True)
    assert compiled.take(99) == python.take(99)


@pytest.mark.parametrize("name", list(GOOD))
def test_a_step_with_one_value_that_does_not_fit_leaves_nothing_behind(packer, name):
    """All columns stay of one length, whichever value it was."""
    specs = tuple(map(spec_for, COLUMNS))
    columns = make_packer(specs, 3, 64, pytest.fail)
    assert call(columns, GOOD) == "1.0"
    assert call(columns, GOOD | {name: object()}) is not None
    assert call(columns, GOOD) == "1.0"
    count, first, parts, *_ = columns.take(99)
    assert (count, first) == (2, 0)
    for spec, part in zip(specs, parts, strict=True):
        rows = spec.rows(part, count)
        assert len(rows) == 2
        assert rows[0].tobytes() == rows[1].tobytes() if spec.code != "o" else rows[0] == rows[1]


@pytest.mark.parametrize(
    ("values", "channels", "words"),
    [
        ((1, 2), {}, "3 positional arguments"),
        ((1, [0, 0], 1.0, 4), {}, "3 positional arguments"),
        ((1, [0, 0], 1.0), {}, "missing required keyword argument: 'narrow'"),
        ((1, [0, 0], 1.0), {**GOOD, "other": 1}, "unexpected keyword argument 'other'"),
    ],
)
def test_a_step_called_wrongly_says_what_is_missing_or_too_much(packer, values, channels, words):
    """As a function of Python would."""
    columns = make_packer(tuple(map(spec_for, COLUMNS)), 3, 64, pytest.fail)
    for name in ("observation", "action", "reward"):
        channels.pop(name, None)
    with pytest.raises(TypeError, match=words):
        columns.record(*values, **channels)
    assert columns.count == 0


def test_a_first_step_without_its_channels_is_refused(packer):
    """Before any call has told in what order its keywords come; nothing else stands in."""
    names = ("observation", "reward", "value", "row")
    columns = [column for column in COLUMNS if column.name in names]
    columns.insert(2, Column("value", "float64"))
    for _ in range(3):
        fresh = make_packer(tuple(map(spec_for, columns)), 2, 64, pytest.fail)
        with pytest.raises(TypeError, match="'value'"):
            fresh.record(*(1, 1.0))
        assert fresh.count == 0


def test_keywords_may_come_in_any_order(packer):
    """They are found by name."""
    columns = make_packer(tuple(map(spec_for, COLUMNS)), 3, 64, pytest.fail)
    assert call(columns, dict(reversed(GOOD.items()))) == "1.0"
    assert call(columns, GOOD) == "1.0"
    _, _, parts, *_ = columns.take(2)
    for spec, part in zip(map(spec_for, COLUMNS), parts, strict=True):
        rows = spec.rows(part, 2)
        assert rows[0].tobytes() == rows[1].tobytes() if spec.code != "o" else rows[0] == rows[1]


def test_take_removes_from_the_front_and_says_where_it_began(packer):
    """In pieces of any size, nothing twice and nothing missing."""
    columns = make_packer((spec_for(Column("observation", "int64")),), 1, 64, pytest.fail)
    for number in range(10):
        columns.record(number)
    taken, at = [], 0
    for most in (0, 3, 1, 99, 5):
        count, first, (part,), *_ = columns.take(most)
        assert first == at
        taken += np.frombuffer(part, np.int64).tolist()
        at += count
    assert taken == list(range(10))
    assert (columns.count, columns.position) == (0, 10)


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_steps_come_out_as_they_went_in_however_puts_and_takes_alternate(packer, turns):
    """Also where what is left stands at the end of the columns, and there is room in front."""
    specs = tuple(spec_for(c) for c in (COLUMNS[0], COLUMNS[2], COLUMNS[7], COLUMNS[12]))
    taken: list[int] = []

    def take(most: int) -> None:
        count, first, (numbers, rewards, rows, things), *_ = columns.take(most)
        states = np.frombuffer(numbers, np.int64).tolist()
        assert first == len(taken)
        assert np.frombuffer(rewards).tolist() == states
        assert np.frombuffer(rows)[::3].tolist() == states
        assert len(things) == count == len(states)
        taken.extend(states)

    columns = make_packer(specs, 2, 8, lambda: take(3))
    put = 0
    for puts, most in turns:
        for _ in range(puts):
            columns.record(put, float(put), row=[float(put)] * 3, thing=None)
            put += 1
        take(most)
    take(99)
    assert taken == list(range(put))


def some_steps(count: int) -> tuple[Any, list[dict[str, Any]]]:
    """Steps that differ in each column, and their whole columns as `extend` takes them."""
    steps = [
        GOOD | {
            "observation": i, "action": np.full(2, i, np.float32), "reward": i / 3,
            "narrow": i % 256, "half": i / 2, "flag": i % 2 == 0, "row": [float(i), 0.0, -1.0],
            "mask": [i % 3 == 0, True, False], "thing": {"a": i},
        }
        for i in range(count)
    ]  # fmt: skip
    specs = tuple(map(spec_for, COLUMNS))
    source = PythonPacker(specs, 3, count, pytest.fail)
    for step in steps:
        call(source, step)
    _, _, parts, *_ = source.take(count)
    return tuple(
        spec.part(part if spec.code == "o" else spec.rows(part, count))
        for spec, part in zip(specs, parts, strict=True)
    ), steps


@given(st.lists(st.integers(0, 9), max_size=4), st.integers(1, 6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_of_whole_columns_go_in_as_if_each_were_recorded(packer, cuts, capacity):
    """In stretches of any length, where there is little room too."""
    whole, steps = some_steps(9)
    specs = tuple(map(spec_for, COLUMNS))

    def come_out(put: Callable[[Any], None]) -> list[Any]:
        taken = []
        columns = make_packer(specs, 3, capacity, lambda: taken.append(columns.take(2)))
        put(columns)
        assert columns.open_episode() == (9, sum(i / 3 for i in range(9)))
        while columns.count:
            taken.append(columns.take(2))
        return [
            np.concatenate([spec.rows(parts[i], count) for count, _, parts, *_ in taken]).tolist()
            for i, spec in enumerate(specs)
        ]

    def in_stretches(columns: Any) -> None:
        for low, high in pairwise([0, *sorted(cuts), 9]):
            columns.extend(whole, low, high)

    def one_by_one(columns: Any) -> None:
        for step in steps:
            call(columns, step)

    assert come_out(in_stretches) == come_out(one_by_one)


def test_rows_of_whole_columns_fill_block_after_block(packer):
    """More than a block of the compiled packer holds, and more than all may hold."""
    spec = spec_for(Column("observation", "int64"))
    got: list[int] = []

    def full() -> None:
        _, first, (part,), *_ = columns.take(5000)
        assert first == len(got)
        got.extend(np.frombuffer(part, np.int64).tolist())

    columns = make_packer((spec,), 1, 40_000, full)
    columns.record(-1)
    columns.extend((spec.part(np.arange(100_000)),), 1, 100_000)
    while columns.count:
        full()
    assert got == [-1, *range(1, 100_000)]


@pytest.mark.parametrize(
    ("change", "start", "stop"),
    [
        (lambda parts: parts[1:], 0, 2),
        (lambda parts: (*parts[:2], parts[2][:1], *parts[3:]), 0, 2),
        (lambda parts: (*parts[:-1], parts[-1][:1]), 0, 2),
        (lambda parts: parts, 0, 3),
        (lambda parts: parts, -1, 2),
        (lambda parts: parts, 2, 1),
    ],
)
def test_rows_that_are_not_there_are_refused_and_leave_nothing_behind(packer, change, start, stop):
    """The columns stay of one length."""
    columns = make_packer(tuple(map(spec_for, COLUMNS)), 3, 64, pytest.fail)
    parts, _ = some_steps(2)
    with pytest.raises(ValueError, match=r"expected .* rows"):
        columns.extend(change(parts), start, stop)
    assert columns.take(9)[0] == 0
    columns.extend(parts, 0, 2)
    assert [len(part) for part in columns.take(9)[2]][-1] == 2


def test_rows_beyond_all_numbers_are_refused_too(packer):
    """Whose bytes no integer of the machine counts."""
    spec = spec_for(Column("observation", "int64"))
    columns = make_packer((spec,), 1, 64, pytest.fail)
    with pytest.raises(ValueError, match=r"expected .* rows"):
        columns.extend((spec.part(np.arange(2)),), 0, 1 << 61)
    assert columns.count == 0


def test_a_full_packer_asks_for_room_until_there_is_some(packer):
    """No step is dropped, and none goes past the capacity."""
    taken: list[int] = []

    def full() -> None:
        assert columns.count == 4
        asked.append(columns.position)
        if len(asked) % 3 == 0:  # the third time it asks, there is room
            _, _, (part,), *_ = columns.take(3)
            taken.extend(np.frombuffer(part, np.int64).tolist())

    asked: list[int] = []
    columns = make_packer((spec_for(Column("observation", "int64")),), 1, 4, full)
    for number in range(11):
        columns.record(number)
    taken += np.frombuffer(columns.take(99)[2][0], np.int64).tolist()
    assert taken == list(range(11))
    assert len(asked) == 9


def test_an_error_while_waiting_for_room_leaves_the_step_unrecorded(packer):
    """Ctrl-C while the disk is slow: the step did not happen."""

    def full() -> None:
        raise KeyboardInterrupt

    columns = make_packer((spec_for(Column("observation", "int64")),), 1, 1, full)
    columns.record(7)
    with pytest.raises(KeyboardInterrupt):
        columns.record(8)
    assert columns.take(9) == (1, 0, (np.int64(7).tobytes(),), b"", [])


def test_a_step_that_waits_for_room_while_the_packer_is_closed_is_refused(packer):
    """By another thread, or a signal's handler: what nobody will take is not taken."""

    def full() -> None:
        columns.close(LookupError("closed"))
        columns.take(9)

    columns = make_packer((spec_for(Column("observation", "int64")),), 1, 1, full)
    columns.record(7)
    with pytest.raises(LookupError, match="closed"):
        columns.record(8)
    assert (columns.count, columns.position) == (0, 1)


def test_a_closed_packer_raises_what_it_was_told(packer):
    """Whoever still holds on to it."""
    columns = make_packer((spec_for(Column("observation", "int64")),), 1, 4, pytest.fail)
    columns.record(1)
    columns.close(LookupError("closed"))
    for _ in range(2):
        with pytest.raises(LookupError, match="closed"):
            columns.record(2)
        with pytest.raises(LookupError, match="closed"):
            columns.extend((np.arange(2),), 0, 2)
    assert columns.count == 1


@pytest.mark.parametrize("before", [5, 16_381])
def test_steps_that_come_while_others_are_taken_are_not_taken_with_them(packer, before):
    """Taking makes lists, which may collect garbage, which may run Python: then the training
    thread goes on in the midst of it, and fills the block that is being emptied.
    """
    specs = tuple(spec_for(c) for c in (COLUMNS[0], COLUMNS[2], COLUMNS[12]))
    columns = make_packer(specs, 2, 1 << 20, pytest.fail)
    taken: list[int] = []

    def record() -> None:
        columns.record(columns.position, 0.0, thing=None)

    def take() -> int:
        count, first, (numbers, _, things), ends, odd = columns.take(1 << 20)
        assert (first, len(things)) == (len(taken), count)
        taken.extend(np.frombuffer(numbers, np.int64).tolist())
        ended.extend(mark[0] for mark in Marks(ends, odd))
        return count

    class Garbage:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            columns.end((columns.position, None, 1, None, None, None, 0.0, 0.0, ()))
            for _ in range(4):
                record()

    ended: list[int] = []
    for _ in range(before):
        record()
    gc.collect()
    often = gc.get_threshold()
    Garbage()
    gc.set_threshold(1)
    try:
        take()
    finally:
        gc.set_threshold(*often)
    gc.collect()  # where garbage is collected between two lines of Python only
    while take() or columns.ends:
        pass
    assert taken == list(range(before + 4))
    assert ended == [before]


def test_what_is_sent_while_others_are_taken_goes_once(packer):
    """As above: what is copied out is not sent as well."""
    specs = tuple(spec_for(c) for c in (COLUMNS[0], COLUMNS[2]))
    columns = make_packer(specs, 2, 1 << 20, pytest.fail)

    class Garbage:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            columns.record(columns.position, 0.0)
            columns.send()

    for _ in range(20):
        columns.record(columns.position, 0.0)
    gc.collect()
    often = gc.get_threshold()
    Garbage()
    gc.set_threshold(1)
    try:
        got = [columns.take(1000)]
    finally:
        gc.set_threshold(*often)
    gc.collect()
    while columns.count:
        got.append(columns.take(1000))
    taken = [number for part in got for number in np.frombuffer(part[2][0], np.int64)]
    assert taken == list(range(21))


def test_columns_stay_aligned_while_another_thread_takes(packer):
    """One thread puts in, another takes out, without a lock of ours between them."""
    specs = tuple(spec_for(c) for c in (COLUMNS[0], COLUMNS[2], COLUMNS[7], COLUMNS[12]))
    columns = make_packer(specs, 2, 50, lambda: None)
    steps = 2_000
    seen: list[int] = []
    aligned: list[bool] = []

    def take() -> None:
        while len(seen) < steps:
            count, first, (numbers, rewards, rows, things), *_ = columns.take(37)
            states = np.frombuffer(numbers, np.int64)
            aligned.append(
                first == len(seen)
                and (states == np.frombuffer(rewards)).all()
                and (states[:, None] == np.frombuffer(rows).reshape(count, 3)).all()
                and len(things) == count
            )
            seen.extend(states.tolist())

    taker = threading.Thread(target=take)
    taker.start()
    for number in range(steps):
        value = float(number)
        columns.record(number, value, row=[value, value, value], thing=None)
    taker.join()
    assert all(aligned)
    assert seen == list(range(steps))
