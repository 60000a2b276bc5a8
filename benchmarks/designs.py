"""Ways to capture a step, side by side: what each adds to the bare loop.

Microseconds a step on the training thread, what must be converted later included: the
interpreter's lock makes the training thread wait for it wherever it is done. These are
the candidates behind the table in docs/performance.md; `recorder` has the last but one.
"""

from __future__ import annotations

import struct
import time
from array import array
from collections.abc import Callable
from typing import Any

from benchmarks.loops import SIZE, bare_loop
from benchmarks.measure import arguments, pairs, report
from recorder import Channel
from recorder.layout import Layout
from recorder.packer import Packer, make_packer
from recorder.python_packer import PythonPacker
from recorder.values import spec_for

STEPS_HELD = 4096
CODES: tuple[Any, ...] = tuple("qqddB")
ROW_CODES: tuple[Any, ...] = tuple("qqdBdddd")
LAYOUT = Layout(
    {"type": "Discrete", "n": SIZE * SIZE, "start": 0},
    {"type": "Discrete", "n": 4, "start": 0},
    (Channel("q_values", "float64", (4,)), Channel("explored", "bool")),
)

Design = tuple[Callable[..., object], Callable[[], object]]


def _convert(columns: list[list[Any]]) -> None:
    for code, column in zip(CODES, columns, strict=True):
        array(code, column)
        column.clear()


def nothing() -> Design:
    """A call that does nothing: the floor for any function in Python."""

    def record(
        observation: int, action: int, reward: float, *, q_values: list[float], explored: bool
    ) -> None:
        pass

    return record, lambda: None


def tuples() -> Design:
    """A tuple a step, unpacked into columns later."""
    held: list[tuple[Any, ...]] = []

    def record(
        observation: int, action: int, reward: float, *, q_values: list[float], explored: bool
    ) -> None:
        held.append((observation, action, reward, explored, *q_values))

    def convert() -> None:
        columns = list(zip(*held, strict=True))
        for code, column in zip(ROW_CODES, columns, strict=True):
            array(code, column)
        held.clear()

    return record, convert


def lists() -> Design:
    """A flat list a column, turned into arrays later."""
    o: list[int] = []
    a: list[int] = []
    r: list[float] = []
    q: list[float] = []
    x: list[bool] = []

    def record(
        observation: int, action: int, reward: float, *, q_values: list[float], explored: bool
    ) -> None:
        o.append(observation)
        a.append(action)
        r.append(reward)
        q.extend(q_values)
        x.append(explored)

    def convert() -> None:
        _convert([o, a, r, q, x])

    return record, convert


def updates() -> Design:
    """No Q rows: one new value a step, from which the table can be rebuilt later."""
    o: list[int] = []
    a: list[int] = []
    r: list[float] = []
    v: list[float] = []
    x: list[bool] = []

    def record(
        observation: int, action: int, reward: float, *, q_values: list[float], explored: bool
    ) -> None:
        o.append(observation)
        a.append(action)
        r.append(reward)
        v.append(q_values[action])
        x.append(explored)

    def convert() -> None:
        _convert([o, a, r, v, x])

    return record, convert


def records() -> Design:
    """A packed record a step, appended to one bytearray."""
    held = bytearray()
    pack = struct.Struct("<qqd?dddd").pack

    def record(
        observation: int, action: int, reward: float, *, q_values: list[float], explored: bool
    ) -> None:
        nonlocal held
        held += pack(observation, action, reward, explored, *q_values)

    return record, held.clear


def _packer(packer: Packer) -> Design:
    return packer.record, lambda: packer.take(STEPS_HELD)


def python_packer() -> Design:
    """The recorder's packer where it could not be compiled."""
    specs = tuple(spec_for(column) for column in LAYOUT.steps)
    return _packer(PythonPacker(specs, 3, 1 << 20, lambda: None))


def compiled_packer() -> Design:
    """The recorder's packer."""
    specs = tuple(spec_for(column) for column in LAYOUT.steps)
    return _packer(make_packer(specs, 3, 1 << 20, lambda: None))


DESIGNS = (nothing, tuples, lists, updates, records, python_packer, compiled_packer)


def seconds(episodes: int, design: Callable[[], Design] | None) -> float:
    """Run the bare loop, converting every `STEPS_HELD` steps, and return its CPU seconds."""
    start = time.thread_time()
    if design is None:
        bare_loop(episodes)
        return time.thread_time() - start
    record, convert = design()
    since = 0

    def finish(*_: Any, **__: Any) -> None:
        nonlocal since
        since += 1
        if since * 16 >= STEPS_HELD:  # an episode has about sixteen steps
            since = 0
            convert()

    bare_loop(episodes, record, finish)
    return time.thread_time() - start


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    episodes, count = (5000, 5) if options.quick else (20000, 15)
    steps = bare_loop(episodes)
    added = {}
    for design in DESIGNS:

        def run(design: Callable[[], Design] = design) -> float:
            return seconds(episodes, design)

        timed = pairs(lambda: seconds(episodes, None), run, count)
        added[design.__name__] = timed.difference() / steps * 1e6
    report({"added_us_per_step": added, "steps": steps, "pairs": count}, options.json)


if __name__ == "__main__":
    main()
