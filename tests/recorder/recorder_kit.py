"""What several tests of the recorder share: recorders on small spaces, tapes, exactness."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from recorder import Channel, EpisodeRecorder, Run
from recorder.assemble import Assembler, Piece
from recorder.blank import blank_tape
from recorder.codec import INCOMPLETE, NO_FINAL, TERMINATED
from recorder.describe import describe
from recorder.layout import Layout
from recorder.packer import is_compiled
from recorder.schema import FILE_NAME
from recorder.tape import Tape

STATES, ACTIONS = 9, 4
Q_VALUES = Channel("q_values", "float64", (ACTIONS,))
EXPLORED = Channel("explored", "bool")


def need_compiled() -> None:
    """Skip where no compiler was; under CI there has to be one."""
    if not is_compiled():
        if os.environ.get("CI"):
            pytest.fail("the compiled packer was not built, and CI is to test it")
        pytest.skip("the compiled packer was not built")


def new_recorder(runs_dir: Path, **options: Any) -> EpisodeRecorder:
    """A recorder of numbered states, without channels unless they are asked for."""
    if "env" not in options:
        options.setdefault("observation_space", spaces.Discrete(STATES))
        options.setdefault("action_space", spaces.Discrete(ACTIONS))
    return EpisodeRecorder(runs_dir, **options)


def record_episode(recorder: EpisodeRecorder, rewards: Sequence[float], **end: Any) -> int:
    """One episode of the given rewards; observations and actions follow from the step."""
    for step, reward in enumerate(rewards):
        recorder.record_step(step % STATES, step % ACTIONS, reward)
    return recorder.finish_episode(len(rewards) % STATES, **({"terminated": True} | end))


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal to the last bit: NaNs, signs of zero and dtypes included."""
    if isinstance(a, dict) or isinstance(b, dict):
        return (
            isinstance(a, dict)
            and isinstance(b, dict)
            and a.keys() == b.keys()
            and all(same(a[key], b[key]) for key in a)
        )
    if isinstance(a, (list, tuple)) or isinstance(b, (list, tuple)):
        return (
            isinstance(a, (list, tuple))
            and isinstance(b, (list, tuple))
            and len(a) == len(b)
            and all(map(same, a, b))
        )
    if isinstance(a, str) or isinstance(b, str) or a is None or b is None:
        return bool(a == b)
    x, y = np.asarray(a), np.asarray(b)
    if x.dtype == object or y.dtype == object:
        return x.shape == y.shape and all(map(same, x.ravel().tolist(), y.ravel().tolist()))
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


class FailingConnection:
    """A SQLite connection that fails when it is told to.

    `fails` is asked before each statement with its number, from 1, and its text; an
    exception that it returns is raised instead of running the statement.
    """

    def __init__(
        self, connection: sqlite3.Connection, fails: Callable[[int, str], Exception | None]
    ) -> None:
        self._connection = connection
        self.fails = fails
        self.calls = 0

    def execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        self.calls += 1
        if (error := self.fails(self.calls, statement)) is not None:
            raise error
        return self._connection.execute(statement, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def never(call: int, statement: str) -> None:
    """No statement fails."""


class Bench:
    """An assembler and a tape of their own, fed with episodes, and what was fed.

    Observations count the steps of the run, so that any row read back tells where it
    belongs; rewards are small integers, whose sums are exact.
    """

    def __init__(
        self,
        run_dir: Path,
        fails: Callable[[int, str], Exception | None] = never,
        layout: Layout | None = None,
    ) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self.path = run_dir
        self.layout = layout or Layout(
            describe(spaces.Discrete(1 << 40)), describe(spaces.Discrete(1 << 40))
        )
        self.connections: list[FailingConnection] = []

        def connect(*args: Any, **options: Any) -> Any:
            self.connections.append(FailingConnection(sqlite3.connect(*args, **options), never))
            return self.connections[-1]

        (run_dir / FILE_NAME).write_bytes(blank_tape(run_row(run_dir.name, self.layout)))
        self.tape = Tape(run_dir, self.layout, connect)
        self.connection.execute("PRAGMA synchronous = OFF")  # no test pulls the plug
        self.connection.calls, self.connection.fails = 0, fails
        self.assembler = Assembler(self.layout)
        self.position = 0
        self.episode_starts: list[int] = []
        self._open = False

    @property
    def connection(self) -> FailingConnection:
        """The tape's."""
        return self.connections[-1]

    def take(self, steps: int, ends: Sequence[int] = (), **facts: Any) -> dict[str, Any]:
        """What a writer is given for `steps` more steps, episodes ending after some of them."""
        numbers = np.arange(self.position, self.position + steps)
        columns = {
            "observation": numbers,
            "action": numbers + 1,
            "reward": reward_at(numbers),
        }
        marks = [self._mark(self.position + end, **facts) for end in ends]
        given = {
            "columns": columns,
            "marks": marks,
            "position": self.position,
            "started_at": 100.0,
        }
        self.position += steps
        return given

    def piece(self, steps: int, ends: Sequence[int] = (), **facts: Any) -> Piece:
        """The same, assembled."""
        return self.assembler.add(**self.take(steps, ends, **facts))

    def _mark(
        self, position: int, *, final: bool = True, flags: int = TERMINATED, **facts: Any
    ) -> tuple[Any, ...]:
        leaves = (position,) if final else None
        flags |= 0 if final else NO_FINAL
        return (
            position,
            leaves,
            flags,
            facts.get("epsilon", 0.5),
            facts.get("seed"),
            facts.get("stage"),
            facts.get("started_at", 100.0),
            facts.get("duration_s", 1.0),
            facts.get("tags", ()),
        )

    def segments(self) -> list[tuple[int, int]]:
        """First step and count of each segment on the tape."""
        rows = self.connection.execute("SELECT first_step, count FROM segments ORDER BY 1")
        return rows.fetchall()


def reward_at(steps: Any) -> Any:
    """The reward of a global step on a `Bench`."""
    return (np.asarray(steps) % 7 - 3).astype(np.float64)


def assert_episode_of_bench(run: Run, number: int, first: int, stop: int) -> None:
    """An episode of a `Bench` is read back as it was fed."""
    episode = run.load(number)
    steps = np.arange(first, stop)
    assert (episode.first_step, episode.length) == (first, stop - first)
    assert episode.observations[: stop - first].tolist() == steps.tolist()
    assert episode.actions.tolist() == (steps + 1).tolist()
    assert episode.rewards.tolist() == reward_at(steps).tolist()
    if not episode.incomplete:
        assert episode.observations[-1] == stop
    assert run.episode(number).episode_return == reward_at(steps).sum()


def run_row(run_id: str, layout: Layout) -> dict[str, Any]:
    """A row of table `run`."""
    return {
        "run_id": run_id,
        "name": run_id,
        "created_at": 100.0,
        "status": "recording",
        "env_kwargs": "{}",
        "observation_space": json.dumps(layout.observation_space),
        "action_space": json.dumps(layout.action_space),
        "layout": json.dumps(layout.as_json()),
        "presentation": "{}",
        "hyperparameters": "{}",
        "provenance": "{}",
    }


__all__ = [
    "ACTIONS",
    "EXPLORED",
    "INCOMPLETE",
    "Q_VALUES",
    "STATES",
    "Bench",
    "FailingConnection",
    "assert_episode_of_bench",
    "never",
    "new_recorder",
    "record_episode",
    "reward_at",
    "run_row",
    "same",
]
