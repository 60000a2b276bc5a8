"""`remove_run`: a run, gone from its directory of runs.

It is renamed aside first, in one step, so that nobody ever sees half of it, and deleted
then. What a removal that was killed left aside is deleted with the next one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from recorder.catalogue import files_bytes, find_run
from recorder.errors import RunNotFound, RunsDirError
from recorder.runlock import RunLock

_ASIDE = ".removed-"  # no run's id begins with a dot


@dataclass(frozen=True)
class Removed:
    """What `remove_run` deleted.

    Attributes:
        run_id: the run.
        size_bytes: what its files took.
    """

    run_id: str
    size_bytes: int


def remove_run(runs_dir: str | Path, run_id: str) -> Removed:
    """Delete a run with all that stands in its directory.

    Nothing outside of that directory is touched: links in it are deleted, never followed.
    A damaged run can be removed too. Who reads it at this moment reads on.

    Args:
        runs_dir: the directory of runs.
        run_id: a run in it; a path is none.

    Raises:
        RunNotFound: there is no run of that id.
        RunBusy: a recorder holds it; it stays as it is.
        RunsDirError: it cannot be deleted.
    """
    run_dir = find_run(runs_dir, run_id)
    root = Path(runs_dir)
    try:
        lock = RunLock(run_dir)  # no recorder may take it up meanwhile
        try:
            size = files_bytes(run_dir)
            aside = root / f"{_ASIDE}{run_id}-{os.getpid()}-{os.urandom(4).hex()}"
            run_dir.rename(aside)
        finally:
            lock.release()
        for left in root.glob(f"{_ASIDE}*"):
            if left.is_dir() and not left.is_symlink():
                _delete(left)
    except FileNotFoundError as error:
        raise RunNotFound(
            f"expected run {run_id!r} in {root}, but it was taken away meanwhile"
        ) from error
    except OSError as error:
        raise RunsDirError(
            f"expected to delete run {run_id!r} from {root}, got: {error.strerror or error}; "
            "see whose directory it is"
        ) from error
    return Removed(run_id, size)


def _delete(directory: Path) -> None:
    while directory.exists():
        # Another removal may be deleting the same at this moment.
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(directory)
