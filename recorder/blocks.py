"""Blocks of ticks: what several environments did, a row a tick (see `recorder.lanes`)."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import msgpack
import numpy as np

from recorder.columns import Column

Array = np.ndarray[Any, Any]

log = logging.getLogger(__name__)


class Block:
    """Ticks `[first, stop)`, of some or all environments.

    Attributes:
        envs: numbers of the environments, rising.
        columns: by name; arrays `(ticks, len(envs), *shape)`, or for packed columns a list
            of bytes for each tick.
        stored: whether the columns stand in the attic.
    """

    def __init__(self, columns: Sequence[Column], num_envs: int, first: int, ticks: int) -> None:
        self.first, self.stop = first, first + ticks
        self.envs = np.arange(num_envs)
        self.columns: dict[str, Any] = {
            column.name: [[]] * ticks
            if column.packed
            else np.zeros((ticks, num_envs, *column.shape), column.dtype)
            for column in columns
        }
        self.stored = False
        self._nbytes: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes held. To be asked once it is full."""
        if self._nbytes is None:
            self._nbytes = sum(
                rows.nbytes
                if isinstance(rows, np.ndarray)
                else sum(len(b) for r in rows for b in r)
                for rows in self.columns.values()
            )
        return self._nbytes

    def keep(self, needed: Array) -> None:
        """Forget all environments but those needed, given as booleans over all."""
        kept = np.flatnonzero(needed[self.envs])
        self.envs = self.envs[kept]
        self._nbytes = None
        for name, rows in self.columns.items():
            self.columns[name] = (
                np.ascontiguousarray(rows[:, kept])
                if isinstance(rows, np.ndarray)
                else [[row[i] for i in kept] for row in rows]
            )

    def of(self, env: int, low: int, high: int) -> list[Any]:
        """Rows `[low, high)` of one environment, a column each."""
        place = int(np.searchsorted(self.envs, env))
        result: list[Any] = []
        for rows in self.columns.values():
            if isinstance(rows, _Stored):
                rows = rows.read()
            if isinstance(rows, np.ndarray):
                result.append(np.ascontiguousarray(rows[low:high, place]))
            else:
                result.append([row[place] for row in rows[low:high]])
        return result


class Attic:
    """An unnamed file for blocks that are too much for memory; gone with the process.

    Args:
        directory: where it is made, once it is needed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._failed = False

    def store(self, block: Block) -> None:
        """Move a block's columns into the file; where that fails they stay in memory."""
        if self._failed:
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115
            file = self._file
            block.columns = {name: _Stored(file, rows) for name, rows in block.columns.items()}
        except OSError as error:
            self._failed = True
            log.error("could not move long episodes to disk: %s; they stay in memory", error)
            return
        block.stored = True

    def clear(self) -> None:
        """Give the file's space back: nothing in it is needed."""
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()
            self._file = None


class _Stored:
    """A column of a block, in a file."""

    def __init__(self, file: IO[bytes], rows: Any) -> None:
        self._file = file
        self._offset = file.seek(0, 2)
        self._like: tuple[Any, Any] | None = None
        if isinstance(rows, np.ndarray):
            self._like = rows.dtype, rows.shape
            data = rows.tobytes()
        else:
            data = msgpack.packb(rows)
        self._size = len(data)
        file.write(data)

    def read(self) -> Any:
        """Return it as it was."""
        self._file.seek(self._offset)
        data = self._file.read(self._size)
        if self._like is None:
            return msgpack.unpackb(data)
        dtype, shape = self._like
        return np.frombuffer(data, dtype).reshape(shape)
