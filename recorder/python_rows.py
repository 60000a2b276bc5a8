"""`Rows` and `Heard` in Python, for where the compiled ones (`_rows.c`) could not be built."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

DUE, ENDED, OTHER = 1, 2, 4
"""What `add` and `note` return, added up: it is time to take; the step ended an episode; these
are no arrays, or others than those that are held, and were not kept."""


class Rows:
    """Rows of several arrays, kept one by one: copied, since loops go on changing theirs.

    A row is an array whose first dimension is 1, in C order, of machine numbers. All rows of an
    array that are held at one time have one dtype and shape.

    Args:
        arrays: how many.
        most: rows that are held at most.
        seconds: from one `take` until rows are due.
        clock: monotonic seconds, for the ends of episodes.

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
        self._due = 0.0
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
        return DUE if len(self) >= self._most or time.perf_counter() >= self._due else 0

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
        self._due = time.perf_counter() + self._seconds
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
        lasting: answers are tensors that nobody else has or changes, and can be held as they
            are; else they are copied when they are taken.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        model: Any = None,
        steps: int = 1,
        lasting: bool = False,
        /,
    ) -> None:
        self._forward = forward
        self._lasting = lasting
        self._model = model
        self._steps = steps
        self._listening = False
        self._answers: dict[int, tuple[Any, Any]] = {}

    def __call__(self, *asked: Any, **how: Any) -> Any:
        """Call `forward`."""
        answer = self._forward(*asked, **how)
        if self._listening:
            self._answers[self._model.num_timesteps] = self._model._last_obs, answer
            if len(self._answers) > 2:
                self._answers.pop(next(iter(self._answers)))
        return answer

    def listen(self, listening: bool, /) -> None:
        """Keep answers from now on, or no more; those that are kept are forgotten."""
        self._listening = listening and self._model is not None
        self._answers.clear()

    def take(self, given: Any, /) -> Any:
        """Return the answer to the question for the step that was made, or None; forget all.

        The compiled one copies an answer that does not last as its numbers' bytes (see `numbers`),
        and returns one as it is whose numbers it cannot have.

        Args:
            given: is not looked at; others find there what was said.
        """
        if not self._answers:
            return None
        asked = self._model.num_timesteps - self._steps
        observation, answer = self._answers.get(asked, (None, None))
        self._answers.clear()
        if observation is not self._model._last_obs:
            return None
        is_tensor = hasattr(answer, "detach") and hasattr(answer, "clone")
        return answer.detach().clone() if is_tensor and not self._lasting else answer


def update_locals(state: Mapping[str, Any], given: Mapping[str, Any], /) -> None:
    """Be a callback's `update_locals`, as `Rows.step` is its `on_step`."""
    state["locals"].update(given)


def numbers(answers: list[Any], /) -> None:
    """Replace answers of networks in a list, each by its numbers' bytes where those can be had.

    The compiled one has them where they are float32 in this process's memory and their library
    shows them (DLPack's C exchange API: PyTorch since 2.10). Others stay what they are.

    Raises:
        TypeError: it is no list.
    """
    if not isinstance(answers, list):
        raise TypeError("numbers() takes a list")
