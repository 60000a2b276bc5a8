"""Open tapes, a bounded number of them, for use from reader threads.

A `Shelf` opens a run when first asked for it, keeps the ones used last, closes the idle
ones beyond `max_open`, and notices when a run was deleted or replaced under the same
name. Everything here blocks; the event loop never calls it (see `archive`).
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from recorder import Run, RunNotFound, find_run, is_recording, list_runs, open_run
from recorder.glance import Listed, settled
from recorder.labels import LABELS_NAME
from recorder.resim.results import VERIFIED_NAME, read_verification
from replay_server.messages import without_place

T = TypeVar("T")
TAPE: Final = "run.db"
Signature = tuple[int, ...]


class _Held:
    __slots__ = ("identity", "run", "users")

    def __init__(self, run: Run, identity: Signature) -> None:
        self.run = run
        self.identity = identity
        self.users = 0


class Shelf:
    """See the module.

    Args:
        runs_dir: the directory whose sub-directories are the runs.
        max_open: how many tapes stay open while idle.
        on_replaced: called with the id of a run, from a reader thread, where another was found
            under its name.
    """

    def __init__(
        self,
        runs_dir: Path,
        max_open: int = 32,
        on_replaced: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.runs_dir = runs_dir
        self._max_open = max_open
        self._on_replaced = on_replaced
        self._begun: dict[str, tuple[Signature, float]] = {}
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.Lock()

    def ids(self) -> list[str]:
        """Ids of the runs there are now."""
        return list_runs(self.runs_dir)

    @contextmanager
    def borrow(self, run_id: str) -> Iterator[Run]:
        """The open run, which stays open for as long as the block lasts.

        Raises:
            RecorderError: there is no such run, or it cannot be read.
        """
        held = self._reuse(run_id) or self._open(run_id)
        try:
            yield held.run
        finally:
            with self._lock:
                held.users -= 1
                if self._held.get(run_id) is held:
                    self._held.move_to_end(run_id)
                elif not held.users:
                    held.run.close()  # dropped or replaced while in use
                self._shrink()

    def glance(self, run_id: str, of: Callable[[Listed], T]) -> T:
        """What is asked of a run that may never be asked for again; see `recorder.glance`.

        Raises:
            RecorderError: there is no such run, or it cannot be read.
        """
        if run_id not in self._held:
            for answer in settled(find_run(self.runs_dir, run_id), of):
                return answer
        with self.borrow(run_id) as run:
            return of(run)

    def is_recording(self, run_id: str) -> bool:
        """Whether a live process records the run."""
        return is_recording(self.runs_dir / run_id)

    def told(self, fault: Exception) -> str:
        """What is said of a fault to a viewer, who need not learn where the server keeps runs."""
        return without_place(str(fault), self.runs_dir)

    def signature(self, run_id: str) -> Signature:
        """Changes whenever the tape or its labels were written to. Reads no file's contents."""
        # As text: paths made of objects would take most of a look at thousands of runs.
        path = f"{self.runs_dir}/{run_id}/"
        parts: list[int] = []
        for name in (TAPE, f"{TAPE}-wal", LABELS_NAME, VERIFIED_NAME):
            try:
                stat = os.stat(path + name)  # noqa: PTH116
            except OSError:
                parts.append(0)
            else:
                # Whoever reads a finished tape leaves an empty log beside it: no news.
                empty = not stat.st_size
                parts += (0,) if empty else (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        return tuple(parts)

    @staticmethod
    def written_at(signature: Signature) -> float:
        """Unix seconds of the last time that any of the files of `signature` was written to."""
        return max(signature) / 1e9  # nothing else in it is as large

    def forget(self, run_id: str) -> None:
        """Close a run that is gone, once nobody reads it."""
        with self._lock:
            self._begun.pop(run_id, None)
            self._drop(run_id)

    def close(self) -> None:
        """Close every tape."""
        with self._lock:
            for run_id in list(self._held):
                self._drop(run_id)

    def _reuse(self, run_id: str) -> _Held | None:
        """The run if it is open and still the one on disk (one stat, no listing)."""
        with self._lock:
            held = self._held.get(run_id)
            if held is None:
                return None
            try:
                same = _identity(self.runs_dir / run_id) == held.identity
            except OSError:
                same = False
            if not same:
                self._drop(run_id)
                return None
            held.users += 1
            return held

    def _open(self, run_id: str) -> _Held:
        path = find_run(self.runs_dir, run_id)
        try:
            identity = _identity(path)
        except OSError as error:  # deleted since it was found
            raise RunNotFound(
                f"expected run {run_id!r} in {self.runs_dir}, but it was taken away meanwhile"
            ) from error
        opened = _Held(open_run(path), identity)
        # A new file may be given the number of one that was deleted.
        begun = (identity, opened.run.info.created_at)
        if self._begun.setdefault(run_id, begun) != begun:
            self._begun[run_id] = begun
            self._on_replaced(run_id)
        with self._lock:
            held = self._held.get(run_id)
            if held is not None and held.identity == identity:
                opened.run.close()  # another thread was faster
            else:
                held = self._held[run_id] = opened
            held.users += 1
            return held

    def _drop(self, run_id: str) -> None:
        held = self._held.pop(run_id, None)
        if held is not None and not held.users:
            held.run.close()

    def _shrink(self) -> None:
        for run_id in [run_id for run_id, held in self._held.items() if not held.users]:
            if len(self._held) <= self._max_open:
                return
            self._drop(run_id)


def _identity(path: Path) -> Signature:
    stat = (path / TAPE).stat()
    return (stat.st_dev, stat.st_ino)


def describe(run_id: str, run: Listed) -> dict[str, Any]:
    """The run as the protocol gives it; its id is its directory's name, which a copied
    run's own row does not know."""
    info, counts, summary = run.info, run.counts(), run.summary()
    found = read_verification(run.path)
    return {
        "run": run_id,
        "name": info.name,
        "tags": info.tags,
        "note": info.note,
        "verified": found.counts if found.at else None,
        "created_at": info.created_at,
        "status": info.status,
        "env_id": info.env_id,
        "env_kwargs": info.env_kwargs,
        "algorithm": info.algorithm,
        "hyperparameters": info.hyperparameters,
        "seed": info.seed,
        "presentation": info.presentation,
        "channels": [
            {"name": channel.name, "dtype": channel.dtype, "shape": list(channel.shape)}
            for channel in info.channels
        ],
        "observation_space": info.observation_space,
        "action_space": info.action_space,
        "episodes": counts.episodes,
        "steps": counts.steps,
        "last_return_100": summary.return_100,
        "best_return": summary.best_return,
        "size_bytes": run.size_bytes(),
        "provenance": info.provenance,
    }
