"""Where an export is written: beside its final name, which it gets when it is whole."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from recorder.errors import ExportError, OutputExists

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MANIFEST = "reel-export.json"
"""Stands in every directory that an export makes; only such a directory is replaced."""


def check_free(out: Path, force: bool, directory: bool) -> None:
    """Refuse an output that exists.

    Raises:
        OutputExists: it does, and may not be replaced.
        ExportError: it is no place for a file.
    """
    if not out.name:
        raise ExportError(f"expected a name for what is written, got {str(out)!r}; add one")
    if not out.parent.is_dir():
        raise ExportError(
            f"expected a directory to write into at {out.parent}, got none; make it first"
        )
    if not (out.exists() or out.is_symlink()):
        return
    if not force:
        raise OutputExists(
            f"expected no file at {out}, got one; choose another name, or replace it with --force"
        )
    if out.exists() and not (out.is_file() or out.is_dir()):
        raise OutputExists(
            f"expected a file to replace at {out}, got a device, pipe or socket; choose "
            "another name"
        )
    if out.is_dir() and not out.is_symlink():
        if not directory:
            raise OutputExists(f"expected a file to replace at {out}, got a directory; choose "
                               "another name")  # fmt: skip
        if any(out.iterdir()) and not (out / MANIFEST).is_file():
            raise OutputExists(
                f"expected a directory that an export made at {out}, got another one, which is not "
                "replaced; remove it yourself, or choose another name"
            )


@contextlib.contextmanager
def aside(out: Path, force: bool, directory: bool) -> Iterator[Path]:
    """Yield a name beside `out`; it becomes `out` at the end, or is gone if anything fails.

    Raises:
        OutputExists: something came to stand at `out` meanwhile.
        OSError: with `out` as its file name where there is no room.
    """
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    _remove(temporary)
    try:
        if directory:
            temporary.mkdir()
        yield temporary
        check_free(out, force, directory)
        if directory and out.is_dir() and not out.is_symlink():
            old = out.with_name(f".{out.name}.{os.getpid()}.old")
            out.rename(old)
            temporary.rename(out)
            _remove(old)
        else:
            if directory and (out.exists() or out.is_symlink()):
                out.unlink()
            temporary.replace(out)
    except BaseException as error:
        _remove(temporary)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            # In the system's words, of the name that was asked for, not the one beside it.
            raise OSError(error.errno, os.strerror(error.errno), str(out)) from error
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
