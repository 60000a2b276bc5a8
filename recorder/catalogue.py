"""A runs directory: which runs it holds, and names for new ones.

Nothing here builds a path from a foreign text: an id is matched, then looked up.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from recorder.errors import RunExists, RunIdError, RunNotFound, RunsDirError
from recorder.hints import reel_command
from recorder.schema import FILE_NAME

if TYPE_CHECKING:
    from recorder.runrow import RunInfo

RUN_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def is_run_id(text: str) -> bool:
    """Return whether `text` can be a run's id."""
    return RUN_ID.fullmatch(text) is not None


def list_runs(runs_dir: str | Path) -> list[str]:
    """Return the ids of the runs in a directory, sorted.

    Raises:
        RunsDirError: there is no such directory.
    """
    root = Path(runs_dir)
    try:
        with os.scandir(root) as entries:
            return sorted(
                entry.name
                for entry in entries
                if is_run_id(entry.name)
                and entry.is_dir(follow_symlinks=False)
                and _is_own_file(os.path.join(entry.path, FILE_NAME))  # noqa: PTH118
            )
    except OSError as error:
        raise RunsDirError(
            f"expected a directory of runs at {root}, got {error.strerror}; "
            f"record a run first ({reel_command()} train), or name another with --runs-dir"
        ) from error


def _is_own_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _is_own_file(path: str | Path) -> bool:
    """Whether there is a file, and no link to one outside the directory of runs."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def find_run(runs_dir: str | Path, run_id: str) -> Path:
    """Return the directory of a run.

    Raises:
        RunNotFound: no run of that id; the message names some that there are.
        RunsDirError: there is no such runs directory.
    """
    path = Path(runs_dir) / run_id
    # Looked up by name first: among thousands of runs a listing takes long.
    if is_run_id(run_id) and _is_own_directory(path) and _is_own_file(path / FILE_NAME):
        return path
    known = list_runs(runs_dir)
    if run_id not in known:
        shown = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
        raise RunNotFound(
            f"expected the id of a run in {runs_dir}, got {run_id!r}; "
            + (
                f"there are: {shown}"
                if known
                else f"there are none yet: record one ({reel_command()} train)"
            )
        )
    return Path(runs_dir) / run_id


def files_bytes(run_dir: str | Path) -> int:
    """Return the bytes of the files of a run's directory, links not followed.

    Raises:
        OSError: it cannot be read.
    """
    size = 0
    with os.scandir(run_dir) as entries:
        for entry in entries:
            # A log goes when its tape is closed, maybe just now.
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    size += entry.stat(follow_symlinks=False).st_size
    return size


def matches(run_id: str, info: RunInfo, text: str) -> bool:
    """Return whether each word of `text` stands somewhere in what is said of a run.

    Looked at are id, name, tags, note, environment, algorithm and status; case is no matter.
    """
    said = " ".join(
        filter(
            None,
            (run_id, info.name, *info.tags, info.note, info.env_id, info.algorithm,
             info.status),
        )
    ).casefold()  # fmt: skip
    return all(word in said for word in text.casefold().split())


def slug(text: str) -> str:
    """Return `text` as a run id: lower case, dashes, at most 48 characters."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return words[:48].strip("-") or "run"


def make_run_dir(runs_dir: str | Path, run_id: str | None, name: str) -> Path:
    """Make the directory of a new run and return it.

    Args:
        runs_dir: made if it is not there.
        run_id: the exact id; where None, one is made of `name`, numbered if it is taken.
        name: what a person calls the run.

    Raises:
        RunsDirError: the directory cannot be made or written.
        RunIdError: `run_id` cannot be one.
        RunExists: `run_id` is taken.
    """
    root = Path(runs_dir)
    if run_id is not None and not is_run_id(run_id):
        raise RunIdError(
            f"expected a run id of a-z, 0-9, '-' and '_' (at most 64), got {run_id!r}; "
            f"for example {slug(run_id)!r}"
        )
    stem = slug(name)
    try:
        root.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            path = root / (run_id or (stem if number == 1 else f"{stem}-{number}"))
            try:
                path.mkdir()
            except FileExistsError:
                if run_id is not None:
                    raise RunExists(
                        f"expected a new run id, got {run_id!r}, which is in {root} already; "
                        "choose another"
                    ) from None
                number += 1
                continue
            return path
    except (OSError, ValueError) as error:  # a NUL in the path is a ValueError
        said = getattr(error, "strerror", None) or error
        raise RunsDirError(
            f"expected a directory to write runs into at {str(root)!r}, got {said}; "
            "choose another with --runs-dir (runs_dir=...)"
        ) from error
