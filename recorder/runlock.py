"""The lock that makes one process the writer of a run.

`flock` on `run.lock`, held as long as the recorder lives and dropped by the system when
its process dies, however it dies. The lock file's text says who holds it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from recorder.errors import RunBusy, RunsDirError
from recorder.schema import LOCK_NAME

_RETRY_S = 0.5
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class RunLock:
    """Holds a run's lock from construction until `release`.

    Raises:
        RunBusy: another recorder holds it.
        RunsDirError: something else stands in the lock's place, such as a link.
    """

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / LOCK_NAME
        try:
            # The holder's name is written into it: never through a link, into another file.
            self._fd: int | None = os.open(self._path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o644)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise
            raise RunsDirError(
                f"expected a file, or none, at {self._path}, got something else "
                f"({error.strerror}); take it away"
            ) from error
        # A reader that asks `is_held` holds a shared lock for some microseconds: try twice.
        deadline = time.monotonic() + _RETRY_S
        while not _try(self._fd, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                holder = os.pread(self._fd, 200, 0).decode(errors="replace").strip()
                os.close(self._fd)
                self._fd = None
                raise RunBusy(
                    f"expected run {run_dir.name!r} to be free, but {holder or 'another process'} "
                    "records it; stop that one first, or choose another name"
                )
            time.sleep(0.01)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"process {os.getpid()}\n".encode(), 0)

    def fileno(self) -> int:
        """The descriptor that holds the lock."""
        if self._fd is None:
            raise ValueError("the lock was given up")
        return self._fd

    def release(self) -> None:
        """Give the lock up. Does nothing the second time."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def is_held(run_dir: Path) -> bool:
    """Return whether some process records into this run now."""
    try:
        fd = os.open(run_dir / LOCK_NAME, os.O_RDONLY | _FLAGS)
    except OSError:
        return False
    try:
        return not _try(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


@contextlib.contextmanager
def kept_free(run_dir: Path) -> Iterator[bool]:
    """Tell whether nobody records into this run; nobody begins to while the block lasts.

    Hold it for a moment only: a recorder that comes waits half a second at most. Where there is
    no lock file yet (a tape was copied without it) nothing is held.
    """
    try:
        fd = os.open(run_dir / LOCK_NAME, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        yield True
        return
    except OSError:
        yield False
        return
    try:
        yield _try(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def _try(fd: int, kind: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
        return True
    return False
