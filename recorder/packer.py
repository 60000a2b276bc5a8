"""One step into columns: who writes a step's values down, and what both who can are.

`make_packer` returns the compiled packer (`_packer.c`, 40 ns a step) where it could be
built, and its twin in Python, `PythonPacker`, where it could not. Both `record` a step
at a time, in the training thread, and are emptied by `take`, by the pump's thread. What
becomes of each value is told in `values.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from recorder.marks import Mark, Marks
from recorder.python_packer import Parts, PythonPacker
from recorder.values import Spec

AN_INT, AN_ARRAY = 1, 2
"""What a final observation is that the compiled packer can note; 0 for others."""


class Block(Protocol):
    """A block that was sent; its bytes are the message (`frames.BLOCK`).

    Attributes:
        first: position of its first step.
        rows: how many steps.
        final_width: as of `Marks`.
    """

    first: int
    rows: int
    final_width: int

    def parts(self) -> tuple[memoryview, ...]:
        """Return the columns."""

    def ends(self) -> memoryview:
        """Return the ends of episodes within it, as `Marks` takes them; as they stand in it."""

    def __buffer__(self, flags: int, /) -> memoryview:
        """Be a message."""


class Carry(Protocol):
    """Sends blocks as they become full, or are sent, as `pipes.exchange` does buffers."""

    def __call__(
        self,
        sink: int,
        source: int,
        wake: int,
        buffers: list[memoryview],
        timeout: float,
        place: tuple[int, ...],
        eager: bool,
        prompt: bool,
        /,
    ) -> tuple[int, bytes | None, bool, list[Block], int, int]:
        """Write buffers, then each block that is to go; without the interpreter's lock.

        Args:
            sink: see `exchange`.
            source: see `exchange`.
            wake: see `exchange`; that a block is to go wakes nobody else.
            buffers: see `exchange`.
            timeout: see `exchange`.
            place: where the first block goes (`Place`, as a tuple).
            eager: return where an episode ended too.
            prompt: return where something was heard too.

        Returns:
            What `exchange` returns; the blocks begun, no longer held here; of the last one, how
            many bytes are not written yet; and the number of the system's error, or 0.
        """


class Packer(Protocol):
    """What both packers are.

    Attributes:
        ended: position of the last episode's end.
        episode: number of the episode that runs.
        open_return: its sum of rewards so far.
        started: when it began, on the clock that `arm` was given.
        woken: when the pump was woken last.
        wake_fd: descriptor that wakes it, not blocking; -1 for none.
        wake_s: seconds between two ends of episodes that wake it.
        final_width: as of `Marks`, of the ends that are taken.
    """

    ended: int
    episode: int
    open_return: float
    started: float
    woken: float
    wake_fd: int
    wake_s: float
    final_width: int

    @property
    def block_steps(self) -> int:
        """Steps in a full block; 0 where there are none."""

    @property
    def carry(self) -> Carry | None:
        """Sends full blocks; None where all must be taken."""

    @property
    def count(self) -> int:
        """Steps held."""

    @property
    def ends(self) -> int:
        """Ends of episodes held."""

    @property
    def position(self) -> int:
        """Steps recorded so far, taken ones included."""

    def record(self, *values: Any, **channels: Any) -> float:
        """Record one step, whole or not at all, and return its reward as it was recorded."""

    def extend(self, parts: tuple[Any, ...], start: int, stop: int, /) -> None:
        """Record rows `[start, stop)` of whole columns, each as `Spec.part` made it."""

    def open_episode(self) -> tuple[int, float]:
        """Return the length and the return so far of the episode that runs."""

    def take(self, most: int, /) -> Parts:
        """Remove up to `most` steps from the front, and the ends of episodes up to there.

        Returns:
            How many, which may be less than there are; the position of the first; for each
            column bytes or a list; and the ends, as `Marks` takes them.
        """

    def end(self, mark: Mark, /) -> None:
        """Note the end of an episode that `finish` does not note itself."""

    def arm(
        self,
        wake_fd: int,
        finish: Callable[..., int],
        clock: Callable[[], float],
        wall_offset: float,
        wake_s: float,
        plain_final: int,
        /,
    ) -> None:
        """Make `finish` ready.

        Args:
            wake_fd: descriptor that `ENDED` is written to at an end, at most every `wake_s`.
            finish: `EpisodeRecorder.finish_episode`, for all but the commonest calls.
            clock: monotonic seconds.
            wall_offset: what makes unix seconds of them.
            wake_s: see above.
            plain_final: `AN_INT`, `AN_ARRAY` like the first column's, or 0.
        """

    def finish(self, *values: Any, **facts: Any) -> int:
        """End the episode; see `EpisodeRecorder.finish_episode`."""

    def hurry(self) -> None:
        """Wake the pump for ends of episodes, and keep the interpreter's lock, if that can be."""

    def send(self) -> None:
        """Have what is held go now, without the interpreter's lock where it can, for which it must
        all be of the common form; else `hurry`."""

    def close(self, error: Exception, /) -> None:
        """Raise `error` at each further step."""


def make_packer(
    specs: Iterable[Spec], positional: int, capacity: int, full: Callable[[], None]
) -> Packer:
    """Return a packer.

    Args:
        specs: the columns; the first `positional` are given by position, the others by name.
        positional: see above.
        capacity: most steps held.
        full: called, again and again, while there is no room for a step.
    """
    specs = tuple(specs)
    try:
        compiled: Any = importlib.import_module("recorder._packer")
    except ImportError:
        return PythonPacker(specs, positional, capacity, full)
    packer: Packer = compiled.Packer(
        tuple(spec.as_tuple() for spec in specs), positional, capacity, full
    )
    return packer


def is_compiled() -> bool:
    """Return whether the compiled packer is there."""
    return not isinstance(make_packer((), 0, 1, lambda: None), PythonPacker)


def marks_of(block: Block) -> Marks:
    """Return the ends of episodes within a block; as they stand in it."""
    return Marks(block.ends(), (), block.final_width)


def cut_block(specs: Iterable[Spec], body: bytes, rows: int) -> list[memoryview]:
    """Return the columns of a block (`frames.BLOCK`) and, last, the ends within it."""
    parts, at, view = [], 0, memoryview(body)
    room = rows + -rows % 8
    for spec in specs:
        width = spec.column.width * spec.stored.itemsize
        parts.append(view[at : at + width * rows])
        at += width * room
    return [*parts, view[at:]]
