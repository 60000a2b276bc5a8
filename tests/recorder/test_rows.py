"""`Rows` and `Heard`, compiled and in Python: both do the same."""

from __future__ import annotations

import gc
import importlib
import math
import sys
import weakref
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from recorder_kit import need_compiled

from recorder.python_rows import DUE, ENDED, OTHER

NAMES = ("action", "observation", "done")


@pytest.fixture(params=["_rows", "python_rows"])
def rows(request: pytest.FixtureRequest) -> ModuleType:
    """Run a test with the compiled ones, and again with their twins."""
    if request.param == "_rows":
        need_compiled()
    return importlib.import_module(f"recorder.{request.param}")


def step(number: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array([number]), np.arange(4, dtype=np.float32).reshape(1, 2, 2) + number


def test_the_compiled_ones_are_used_where_there_are_any():
    """Else every step under a network would cost several times as much, and nobody would know."""
    need_compiled()
    chosen = importlib.import_module("recorder.rows")
    assert chosen.Rows.__module__ == chosen.Heard.__module__ == "recorder._rows"


def test_their_twins_are_used_where_nothing_was_compiled(monkeypatch):
    """As on a machine without a compiler."""
    monkeypatch.setitem(sys.modules, "recorder._rows", None)
    monkeypatch.delitem(sys.modules, "recorder.rows", raising=False)
    chosen = importlib.import_module("recorder.rows")
    assert chosen.Rows.__module__ == chosen.Heard.__module__ == "recorder.python_rows"


def test_rows_come_back_as_they_were_when_they_were_kept(rows):
    """Loops go on changing their arrays, and each `take` gives what came since the last."""
    kept = rows.Rows(2, 8, math.inf)
    for first in (0, 10):
        for number in range(first, first + 3):
            action, observation = step(number)
            kept.add(f"said {number}", action, observation)
            action += 100
            observation[:] = -1
        said, (actions, observations), _ = kept.take()
        numbers = range(first, first + 3)
        assert said == [f"said {number}" for number in numbers]
        assert actions.tolist() == [*numbers]
        assert observations.dtype == np.float32
        assert np.array_equal(observations, np.concatenate([step(n)[1] for n in numbers]))
        assert len(kept) == 0


@pytest.mark.parametrize("done", [np.array([True]), np.array([1]), [np.True_], (True,)])
def test_a_step_is_found_by_names_and_whether_it_ended(rows, done):
    """Flags are what an environment makes of them."""
    kept = rows.Rows(2, 8, math.inf)
    action, observation = step(3)
    given = {"action": action, "observation": observation, "done": done, "more": None}
    assert kept.note("said", given, NAMES) & ENDED
    assert not kept.note(None, given | {"done": np.array([False])}, NAMES) & ENDED
    assert kept.take()[0] == ["said", None]


def test_rows_are_due_first_and_when_their_time_is_over_and_when_there_is_no_more_room(rows):
    """The first at once, so that it is seen that something runs."""
    kept = rows.Rows(2, 3, math.inf)
    assert kept.add(None, *step(0)) == DUE
    kept.take()
    assert [kept.add(None, *step(n)) for n in range(3)] == [0, 0, DUE]
    with pytest.raises(IndexError, match="room"):
        kept.add(None, *step(3))
    with pytest.raises(IndexError, match="room"):
        kept.note(None, dict.fromkeys(NAMES, np.zeros(1)), NAMES)
    soon = rows.Rows(2, 8, 0.0)
    soon.add(None, *step(0))
    soon.take()
    assert soon.add(None, *step(1)) == DUE


def test_rows_that_may_wait_too_long_for_the_next_are_due_before_their_time(rows):
    """As long as the longest of this time or the one before; but by a fifth of it at most."""
    now = 100.0
    kept = rows.Rows(2, 99, 10.0, lambda: now)
    kept.add(None, *step(0))
    kept.take()

    def due_after(*times: float) -> list[float]:
        """Which of some times since the last `take` make rows due."""
        nonlocal now
        start, found = now, []
        for time in times:
            now = start + time
            if kept.add(None, *step(0)):
                found.append(time)
        kept.take()
        return found

    assert due_after(1.0, 2.0, 8.5, 9.5) == [8.5, 9.5]  # 6.5 s, and 8 s at most
    assert due_after(1.0, 2.0, 7.5, 8.5) == [8.5]
    quick = [0.5 * half for half in range(1, 20)]
    assert due_after(*quick) == [8.0, 8.5, 9.0, 9.5]  # as before
    assert due_after(*quick) == [9.5]


def test_a_clock_that_fails_is_an_error(rows):
    kept = rows.Rows(2, 99, 10.0, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        kept.add(None, *step(0))


@pytest.mark.parametrize(
    "other",
    [
        [1.0, 2.0],
        5,
        np.float32(1),
        np.array(3.0),
        np.zeros((2, 2, 2), np.float32),
        np.zeros((1, 4), np.float32),
        np.zeros((1, 2, 2), np.float64),
        np.zeros((1, 2, 2), ">f4"),
        np.zeros((1, 4, 2), np.float32)[:, ::2],
        np.array([[["a", "b"], ["c", "d"]]], object),
        np.zeros((1, 2, 2), np.float32).view(np.recarray),
    ],
    ids=lambda other: f"{type(other).__name__}-{getattr(other, 'dtype', '')}",
)
def test_what_is_no_row_like_those_before_is_not_kept(rows, other):
    """Nor are the arrays beside it: a step is kept whole or not at all."""
    kept = rows.Rows(2, 8, math.inf)
    action, observation = step(0)
    kept.add(None, action, observation)
    assert kept.add(None, action, other) == OTHER
    given = {"action": action, "observation": other, "done": np.array([True])}
    assert kept.note(None, given, NAMES) == OTHER
    assert len(kept) == 1
    assert [array.shape for array in kept.take()[1]] == [(1,), (1, 2, 2)]


def test_after_a_take_rows_may_be_of_another_kind(rows):
    """An environment that gives float64 where its space says float32, say."""
    kept = rows.Rows(1, 8, math.inf)
    for array in (np.zeros((1, 2), np.float32), np.ones((1, 3)), np.array([True])):
        kept.add(None, array)
        kept.add(None, array)
        (taken,) = kept.take()[1]
        assert taken.dtype == array.dtype
        assert np.array_equal(taken, np.concatenate([array, array]))


def test_arrays_without_numbers_are_rows_too(rows):
    """A Box of shape (0,) is a space."""
    kept = rows.Rows(1, 8, math.inf)
    kept.add(None, np.zeros((1, 0)))
    assert kept.take()[1][0].shape == (1, 0)


def test_a_callback_s_step_is_kept_and_looked_at_when_anything_is_due(rows):
    """A step of training is one call, and goes on; its ends are told with what there is of them."""
    now = 5.0
    kept = rows.Rows(2, 8, math.inf, lambda: now)
    looked: list[Any] = []
    state: dict[str, Any] = {"n_calls": 0, "num_timesteps": 0}
    model = SimpleNamespace(rate=0.5, num_timesteps=0)

    def arguments(**other: Any) -> tuple[Any, ...]:
        whole = {
            "state": state, "take": lambda given: given["q"], "names": NAMES, "infos": "infos",
            "about": lambda model: model.rate, "model": model,
            "look": lambda *due: looked.append(due),
        }  # fmt: skip
        return tuple((whole | other).values())

    for number in range(6):
        action, observation = step(number)
        model.rate = number
        model.num_timesteps = 10 * number
        state["locals"] = {
            "action": action if number < 5 else [5], "observation": observation, "q": number,
            "done": np.array([number in (2, 5)]), "infos": [{"number": number}],
        }  # fmt: skip
        assert kept.step(*arguments()) is True
        if number == 0:
            kept.take()
    assert looked == [(DUE, 0), (OTHER, 5)]
    assert (state["n_calls"], state["num_timesteps"]) == (6, 50)
    said, _, ends = kept.take()
    assert said == [1, 2, 3, 4]
    assert ends == [(2, ({"number": 2}, 2), 5.0)]
    kept.eager = True
    state["locals"] |= {"action": action}
    now = 6.0
    kept.step(*arguments())
    assert looked[-1] == (DUE, 5)
    assert kept.take()[2] == [(1, ({"number": 5}, 5), 6.0)]

    def fail(*given: Any) -> None:
        raise ArithmeticError("of the callback's")

    for name in ("take", "about", "look"):
        with pytest.raises(ArithmeticError):
            kept.step(*arguments(**{"about": len, name: fail} if name != "look" else {name: fail}))
    for name in ("n_calls", "locals"):
        without = {key: value for key, value in state.items() if key != name}
        with pytest.raises(KeyError, match=name):
            kept.step(*arguments(state=without))


def test_an_end_told_by_itself_is_due_where_somebody_waits_for_it(rows):
    """As of a step that is not as it comes."""
    kept = rows.Rows(2, 8, math.inf, lambda: 3.0)
    for eager in (False, True):
        kept.eager = eager
        kept.add(None, *step(0))
        assert kept.end("told") == (DUE if eager else 0)
        assert kept.take()[2] == [(1, "told", 3.0)]
        assert len(kept) == 0


def test_wrong_calls_say_so(rows):
    """They are ours, but a crash of the interpreter would be everybody's."""
    for arguments in ((0, 1, 1.0), (1, 0, 1.0)):
        with pytest.raises(ValueError, match="wants"):
            rows.Rows(*arguments)
    kept = rows.Rows(2, 8, math.inf)
    with pytest.raises(IndexError, match="nothing"):
        kept.take()
    with pytest.raises(TypeError):
        kept.add(None, np.zeros(1))
    with pytest.raises(KeyError, match="observation"):
        kept.note(None, {"action": np.zeros(1), "done": [False]}, NAMES)
    with pytest.raises(KeyError, match="done"):
        kept.note(None, {"action": np.zeros(1), "observation": np.zeros(1)}, NAMES)
    assert len(kept) == 0


class Model:
    """What `Heard` looks at."""

    def __init__(self) -> None:
        self.num_timesteps = 0
        self._last_obs: Any = object()

    def step(self) -> None:
        self.num_timesteps += 1

    def store(self) -> None:
        self._last_obs = object()


def heard(rows: ModuleType, model: Any, steps: int = 1) -> Any:
    result = rows.Heard(lambda *asked, **how: (asked, how), model, steps)
    result.listen(True)
    return result


def test_an_answer_is_passed_on_and_kept_once(rows):
    """The policy asked for the step that was then made."""
    model = Model()
    network = heard(rows, model)
    answer = network(1, two=2)
    assert answer == ((1,), {"two": 2})
    model.step()
    assert network.take({}) is answer
    assert network.take({}) is None


def test_of_a_step_that_explored_nothing_is_told(rows):
    """Whatever others asked since the last one."""
    model = Model()
    network = heard(rows, model)
    model.step()
    network("an evaluation, by a callback behind the recorder's")
    model.store()
    model.step()
    assert network.take({}) is None


def test_an_evaluation_before_the_recorder_s_turn_hides_no_answer(rows):
    """Callbacks are called one after the other once the step is made."""
    model = Model()
    network = heard(rows, model)
    network("an evaluation, after the step before")
    answer = network("the policy")
    model.step()
    network("an evaluation, by a callback before the recorder's")
    network("and again")
    assert network.take({}) is answer


def test_several_environments_make_several_steps_at_once(rows):
    """The step count grows by as many."""
    model = Model()
    network = heard(rows, model, 3)
    answer = network("the policy")
    model.num_timesteps += 3
    assert network.take({}) is answer


def test_between_rollouts_nobody_listens(rows):
    """Training asks then, and holds on to more than the answer with it."""
    model = Model()
    network = heard(rows, model)
    network("the policy")
    network.listen(False)
    network("training")
    model.step()
    assert network.take({}) is None
    copy = rows.Heard(lambda: "answer")
    copy.listen(True)
    assert copy() == "answer"
    assert copy.take({}) is None


def test_what_a_network_or_a_model_raises_goes_to_who_asked(rows):
    """And leaves nothing behind."""

    def fail() -> None:
        raise ArithmeticError("of the network's")

    model = Model()
    network = rows.Heard(fail, model)
    network.listen(True)
    with pytest.raises(ArithmeticError, match="network"):
        network()
    nothing = rows.Heard(lambda: 1, SimpleNamespace(num_timesteps=1))
    nothing.listen(True)
    with pytest.raises(AttributeError, match="_last_obs"):
        nothing()


def test_the_variables_of_a_step_are_taken_and_others_are_added(rows):
    """What was there is nobody else's to change."""
    started, looped = {"seed": 1}, {"dones": [True], "infos": [{}]}
    state = {"locals": started}
    rows.update_locals(state, {"seed": 2, "rate": 0.5})
    assert state["locals"] == {"seed": 2, "rate": 0.5}
    assert started == {"seed": 1}
    rows.update_locals(state, looped)
    assert state["locals"] is looped
    rows.update_locals(state, {"infos": [{"a": 1}]})
    assert state["locals"] == {"dones": [True], "infos": [{"a": 1}]}
    assert looped["infos"] == [{}]


def test_rows_are_filled_with_what_was_answered(rows):
    """Numbers' bytes are, and what is none of them is told by its place."""
    numbers = np.array([1.5, -2.0], np.float32)
    said = [None, numbers.tobytes(), b"1234", (1.0, 2.0), numbers, None, numbers[::-1].tobytes()]
    values, missing = np.full((7, 2), 9, np.float32), np.ones(7, bool)
    assert rows.fill_rows(said, values, missing) == [2, 3, 4]
    assert missing.tolist() == [True, False, False, False, False, True, False]
    assert np.isnan(values[[0, 5]]).all()
    assert values[[1, 6]].tolist() == [[1.5, -2.0], [-2.0, 1.5]]
    assert (values[2:5] == 9).all()
    assert rows.fill_rows([], values[:0], missing[:0]) == []


@pytest.mark.parametrize(
    "given",
    [
        ((None,), np.zeros((1, 2), np.float32), np.zeros(1, bool)),
        ([None], np.zeros((2, 2), np.float32), np.zeros(2, bool)),
        ([None], np.zeros((1, 2), np.float32), np.zeros(2, bool)),
        ([None], np.zeros((1, 2)), np.zeros(1, bool)),
        ([None], np.zeros((1, 2), np.float32), np.zeros(1, np.uint16)),
        ([None], np.zeros(1, np.float32), np.zeros(1, bool)),
    ],
)
def test_rows_of_another_form_are_not_filled(rows, given):
    with pytest.raises(TypeError, match="list, and arrays"):
        rows.fill_rows(*given)


def test_a_network_that_hears_itself_is_garbage_like_any_other(rows):
    """Model, network, its forward and the answers hold on to each other."""
    model = Model()
    network = heard(rows, model)
    model.network = network
    network(network)
    gone = weakref.ref(model)
    del model, network
    gc.collect()
    assert gone() is None
