"""`query_run`: one SQL query over a run, read-only, with the steps as a table of their own.

Nothing can be written: the file is open with `mode=ro`, and SQLite asks an authorizer
about all that a statement would do before it runs. `steps` is a temporary view in which an
episode is decoded when the query arrives at it: `where episode = 7` decodes one episode,
`join episodes using (episode)` those that the other conditions leave.
"""

from __future__ import annotations

import json
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recorder.errors import DamagedTape, EpisodeNotFound, QueryError, RecorderError, StepsNotKept
from recorder.hints import reel_command
from recorder.reader import open_tape
from recorder.run import Run

MAX_VALUE_BYTES = 64 << 20  # of one value that a query makes
MAX_TEXT = 1 << 20
_EPISODES_HELD = 2
_LOOK_EVERY = 10_000  # SQLite's instructions between looks for Ctrl-C
_ALLOWED = {
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE,
}  # fmt: skip
_REFUSED_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}
_DAMAGED = {
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN,
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a query gives.

    Attributes:
        columns: names, as the query calls them.
        rows: values of SQLite, read as they are asked for.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


@contextmanager
def query_run(path: str | Path, text: str, values: Sequence[Any] = ()) -> Iterator[Answer]:
    """Run a query over a run, whether it records or not.

    The tables are those of the file (docs/architecture.md), and `steps`: `episode`, `step`,
    `global_step`, `observation`, `action`, `reward` and each channel. A column with more than
    one number a step is a JSON array: `q_values ->> 2` is its third. Only steps that were
    kept are in it.

    >>> text = "select step, reward from steps where episode = ? order by step"
    >>> with query_run("runs/maze", text, [1]) as answer:
    ...     print(answer.columns, list(answer.rows))
    ('step', 'reward') [(0, 0.0), (1, 1.0)]

    Args:
        path: the run's directory.
        text: one statement that reads.
        values: for the `?` in it.

    Raises:
        QueryError: the statement cannot be read, or would do more than read.
        RunNotFound, NotARun, NewerSchema, DamagedTape: see `open_run`.
    """
    if len(text) > MAX_TEXT:
        raise QueryError(f"expected a query of at most {MAX_TEXT:,} characters, got {len(text):,}")
    path = Path(path)
    with Run(path) as run, closing(open_tape(path)) as connection:
        table = _StepsTable(run)
        table.install(connection)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_progress_handler(_go_on, _LOOK_EVERY)
        refused: list[str] = []
        connection.set_authorizer(_authorizer(refused))
        with _told(table, refused):
            cursor = connection.execute(text, tuple(values))
            if cursor.description is None:
                raise QueryError("expected a query that gives rows (select ...), got none")
            names = tuple(column[0] for column in cursor.description)
        yield Answer(names, _rows(cursor, table, refused))


def _rows(
    cursor: sqlite3.Cursor, table: _StepsTable, refused: list[str]
) -> Iterator[tuple[Any, ...]]:
    while True:
        with _told(table, refused):
            batch = cursor.fetchmany(256)
        if not batch:
            return
        yield from batch


def _go_on() -> int:
    # Python delivers Ctrl-C before it calls; the exception it raises ends the query.
    return 0


def _authorizer(refused: list[str]) -> Callable[..., int]:
    def ask(action: int, first: str | None, second: str | None, *_: Any) -> int:
        if action in _ALLOWED and not (
            action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _REFUSED_FUNCTIONS
        ):
            return sqlite3.SQLITE_OK
        refused.append(str(second or first or action))
        return sqlite3.SQLITE_DENY

    return ask


@contextmanager
def _told(table: _StepsTable, refused: list[str]) -> Iterator[None]:
    """Say what went wrong in the words of this room."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError) as error:
        if table.error is not None and not isinstance(table.error, Exception):
            raise table.error from None  # Ctrl-C
        if isinstance(table.error, RecorderError):
            raise table.error from None
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from None
        if refused or code == sqlite3.SQLITE_READONLY:
            raise QueryError(
                "expected a query that only reads (select ...), got one that would do more "
                f"({error}); a run's tape is never changed by a query"
            ) from None
        if code is not None and code & 0xFF in _DAMAGED:
            raise DamagedTape(
                f"expected a tape that SQLite can read, got: {error}; see {reel_command()} check"
            ) from error
        raise QueryError(f"expected a query that SQLite can run, got: {error}") from None


class _StepsTable:
    """The view `steps`, and what decodes for it.

    Attributes:
        error: what a function raised, which SQLite does not pass on.
    """

    def __init__(self, run: Run) -> None:
        self.error: BaseException | None = None
        self._run = run
        channels = [channel.name for channel in run.layout.channels]
        infos = ["info"] if run.layout.infos else []
        self._names = ["observation", "action", "reward", *channels, *infos]
        self._held: OrderedDict[int, _Held] = OrderedDict()

    def install(self, connection: sqlite3.Connection) -> None:
        """Make the view; before the authorizer is set, which refuses to make anything."""
        connection.create_function("reel_rows", 1, self._guarded(self._rows))
        connection.create_function("reel_value", 3, self._guarded(self._value))
        columns = ", ".join(
            f'reel_value(e.episode, j.key, {place}) AS "{name.replace(chr(34), chr(34) * 2)}"'
            for place, name in enumerate(self._names)
        )
        connection.execute(
            "CREATE TEMP VIEW steps AS SELECT e.episode AS episode, j.key AS step, "
            f"e.first_step + j.key AS global_step, {columns} "
            "FROM main.episodes AS e, json_each(reel_rows(e.episode)) AS j WHERE e.kept = 1"
        )

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            try:
                return function(*values)
            except BaseException as error:
                self.error = error
                raise

        return call

    def _rows(self, episode: int) -> str:
        """A JSON array with an item for each step: what `json_each` makes rows of."""
        count = self._episode(episode).count
        return "[" + ",".join("0" * count) + "]"

    def _value(self, episode: int, step: int, place: int) -> Any:
        return self._episode(episode).value(place, step)

    def _episode(self, episode: int) -> _Held:
        held = self._held.get(episode)
        if held is None:
            try:
                columns = dict(self._run.steps(episode).columns)
            except (StepsNotKept, EpisodeNotFound):  # taken off since the query began
                columns = {name: np.empty(0) for name in self._names}
            held = self._held[episode] = _Held([columns[name] for name in self._names])
            while len(self._held) > _EPISODES_HELD:
                self._held.popitem(last=False)
        return held


class _Held:
    """An episode's columns, each made values of SQLite when it is asked for."""

    def __init__(self, columns: list[Any]) -> None:
        self._columns = columns
        self._values: dict[int, list[Any]] = {}
        self.count = len(columns[2])

    def value(self, place: int, step: int) -> Any:
        values = self._values.get(place)
        if values is None:
            values = self._values[place] = [_plain(v) for v in self._columns[place].tolist()]
        return values[step]


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | float() | str() | bytes():
            return value
        case int():
            return value if -(1 << 63) <= value < 1 << 63 else str(value)
    return json.dumps(value, default=_listed)


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)
