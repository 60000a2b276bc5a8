"""`Rows` and `Heard` in Python, for where the compiled ones (`_rows.c`) could not be built."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

DUE, ENDED, OTHER = 1, 2, 4
"""What `add` and `note` return, added up: it is time to take; the step ended an episode; these
are no arrays, or others than those that are held, and were not kept."""

_SOONER = 0.2  # of the time that rows are held, at most


class Rows:
    """Rows of several arrays, kept one by one: copied, since loops go on changing theirs.

    A row is an array whose first dimension is 1, in C order, of machine numbers. All rows of an
    array that are held at one time have one dtype and shape.

    Args:
        arrays: how many.
        most: rows that are held at most.
        seconds: from one `take` until rows are due; sooner, by a fifth of it at most, where the
            next may come too late, as rows came since the last `take` or the one before.
        clock: monotonic seconds.

    Attributes:
        eager: an end of an episode is due at once.
    """

    def __init__(
        self,
        arrays: int,
        most: int,
        seconds: float,
        clock: Callable[[], float] = time.perf_counter,
        /,
    ) -> None:
        if arrays < 1 or most < 1:
            raise ValueError("Rows() wants arrays, and room")
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._due = self._last = self._gap = self._before = 0.0
        self.eager: bool | int = False
        self._ends: list[tuple[int, Any, float]] = []
        self._said: list[Any] = []
        self._rows: list[list[Array]] = [[] for _ in range(arrays)]

    def __len__(self) -> int:
        return len(self._said)

    def add(self, said: Any, /, *arrays: Any) -> int:
        """Keep a row of each array, and an object with them.

        Raises:
            IndexError: as many rows are held as there is room for.
        """
        if len(arrays) != len(self._rows):
            raise TypeError(
                f"add() takes {len(self._rows) + 1} arguments ({len(arrays) + 1} given)"
            )
        if len(self) >= self._most:
            raise IndexError("there is no room; take() what is held")
        if not all(map(_is_row, arrays)):
            return OTHER
        if self._said and not all(
            rows[0].dtype == array.dtype and rows[0].shape == array.shape
            for rows, array in zip(self._rows, arrays, strict=True)
        ):
            return OTHER
        self._said.append(said)
        for rows, array in zip(self._rows, arrays, strict=True):
            rows.append(array.copy())
        now = self._clock()
        if self._last > 0:
            self._gap = max(self._gap, now - self._last)
        self._last = now
        next_in = min(max(self._gap, self._before), self._seconds * _SOONER)
        return DUE if len(self) >= self._most or now + next_in >= self._due else 0

    def note(self, said: Any, given: Mapping[str, Any], names: tuple[str, ...], /) -> int:
        """Keep a row of each array that a dict has; and say whether the step ended an episode.

        Args:
            said: as of `add`.
            given: has the arrays.
            names: theirs, at most eight, and that of an array of flags, whose first says whether
                the episode ended.

        Raises:
            IndexError: as of `add`.
            KeyError: one of them is not there.
        """
        arrays = [given[name] for name in names[:-1]]
        ended = bool(given[names[-1]][0])
        kept = self.add(said, *arrays)
        return kept if kept & OTHER else kept | (ENDED if ended else 0)

    def end(self, told: Any, /) -> int:
        """Note that an episode ended with the row kept last, now, and what is told of it."""
        self._ends.append((len(self), told, self._clock()))
        return DUE if self.eager else 0

    def step(
        self,
        state: dict[str, Any],
        take: Callable[[Any], Any],
        names: tuple[str, ...],
        infos: str,
        about: Callable[[Any], Any],
        model: Any,
        look: Callable[[int, Any], None],
        /,
    ) -> bool:
        """Be a callback's `on_step`: `note` a step, and its end, and have looked at what is due.

        Args:
            state: the callback's attributes; under `locals` what the training loop has. Its
                `n_calls` and `num_timesteps` are brought up to date, as `on_step` does.
            take: makes of those what was said of the step.
            names: as of `note`.
            infos: where the info dicts are found, of a batch of one.
            about: makes of `model` what is to be told of an end, beside the info dict.
            model: see above.
            look: is called with `DUE` or `OTHER` and what was said; of an `OTHER` step, an end
                is not noted.

        Returns:
            True: go on.
        """
        state["n_calls"] += 1
        state["num_timesteps"] = model.num_timesteps
        given = state["locals"]
        said = take(given)
        due = self.note(said, given, names)
        if due & ENDED:
            due = due & ~ENDED | self.end((given[infos][0], about(model)))
        if due:
            look(due, said)
        return True

    def take(self) -> tuple[list[Any], list[Array], list[tuple[int, Any, float]]]:
        """Remove and return what is held: the objects; each array, a row a step; and the ends,
        each as the number of rows up to it, what was told, and when.

        Raises:
            IndexError: there is nothing.
        """
        if not self._said:
            raise IndexError("nothing is held")
        taken = self._said, [np.concatenate(rows) for rows in self._rows], self._ends
        self._ends = []
        self._said, self._rows = [], [[] for _ in self._rows]
        self._due = self._clock() + self._seconds
        self._gap, self._before = 0.0, self._gap
        return taken


def _is_row(value: Any) -> bool:
    if type(value) is not np.ndarray or value.dtype.hasobject or not value.dtype.isnative:
        return False
    return value.shape[:1] == (1,) and value.flags.c_contiguous


class Heard:
    """A network's `forward` whose newest answers are kept, with what they were answers to.

    An answer belongs to the policy's question for a step if it came while the step count and
    the last observation were those before the step: an evaluation in a callback asks after it.
    So the newest answers of two step counts are kept.

    Args:
        forward: is called.
        model: has `num_timesteps` and `_last_obs`; None: no answer is kept.
        steps: by how many the step count grows at a step.
        hooks: what may change an answer in place before it is used, a dict: while it has any,
            answers are copied when they are taken.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        model: Any = None,
        steps: int = 1,
        hooks: Mapping[Any, Any] | None = None,
        /,
    ) -> None:
        self._hooks = {} if hooks is None else hooks
        self._forward = forward
        self._model = model
        self._steps = steps
        self._listening = False
        self._answers: dict[int, tuple[Any, Any]] = {}

    def __call__(self, *asked: Any, **how: Any) -> Any:
        """Call `forward`."""
        answer = self._forward(*asked, **how)
        if self._listening:
            kept = answer if self._hooks else _copied(answer)
            self._answers[self._model.num_timesteps] = self._model._last_obs, kept
            if len(self._answers) > 2:
                self._answers.pop(next(iter(self._answers)))
        return answer

    def listen(self, listening: bool, /) -> None:
        """Keep answers from now on, or no more; those that are kept are forgotten."""
        self._listening = listening and self._model is not None
        self._answers.clear()

    def take(self, given: Any, /) -> Any:
        """Return the answer to the question for the step that was made, or None; forget all.

        It is a copy: networks may answer with what they go on changing. The compiled one's are
        bytes where a tensor is float32 in this process's memory and its library shows it (DLPack's
        C exchange API: PyTorch since 2.10), and the tensor itself where it cannot copy.

        Args:
            given: is not looked at; others find there what was said.
        """
        if not self._answers:
            return None
        asked = self._model.num_timesteps - self._steps
        observation, answer = self._answers.get(asked, (None, None))
        self._answers.clear()
        return _copied(answer) if observation is self._model._last_obs else None


def _copied(answer: Any) -> Any:
    is_tensor = hasattr(answer, "detach") and hasattr(answer, "clone")
    return answer.detach().clone() if is_tensor else answer


def update_locals(state: dict[str, Any], given: Mapping[str, Any], /) -> None:
    """Be a callback's `update_locals`, as `Rows.step` is its `on_step`.

    Stable-Baselines3 copies the training loop's variables one by one, which takes longer than all
    else that is done with a step. Here the loop's own dict is taken, if it is that of a step.

    Args:
        state: the callback's attributes; its `locals` are exchanged.
        given: the variables; those of a step have `dones`, and others are added to what is there.
    """
    state["locals"] = given if "dones" in given else {**state["locals"], **given}


def fill_rows(answers: Sequence[Any], rows: Array, missing: Array, /) -> list[int]:
    """Fill arrays with what was answered.

    Args:
        answers: each numbers' bytes, or None where there is no answer; anything else is none of
            this function's.
        rows: float32 `(answers, numbers)`: NaN where there is no answer.
        missing: bool `(answers,)`: where there is none.

    Returns:
        Those that are something else, by their places in the list; their rows are not filled.

    Raises:
        TypeError: it is no list, or an array is not as above.
    """
    fits = isinstance(answers, list) and rows.shape[:-1] == missing.shape == (len(answers),)
    if not fits or rows.dtype != np.float32 or missing.dtype != np.bool_:
        raise TypeError("fill_rows() takes a list, and arrays of as many rows")
    others = []
    for place, answer in enumerate(answers):
        missing[place] = answer is None
        if answer is None:
            rows[place] = np.nan
        elif type(answer) is bytes and len(answer) == rows[place].nbytes:
            rows[place] = np.frombuffer(answer, np.float32)
        else:
            others.append(place)
    return others
