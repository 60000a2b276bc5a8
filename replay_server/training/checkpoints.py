"""Which saved Q-tables there are: `runs/<run_id>/checkpoints/<name>.npy`.

Only names are looked at here. The trainer reads the files, and refuses what does not fit.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any, Final

FOLDER: Final = "checkpoints"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
MOST: Final = 500


def listed(runs_dir: Path, run_ids: list[str]) -> list[dict[str, Any]]:
    """The saved tables of these runs, the newest first, at most `MOST`.

    Returns:
        Objects of `run`, `name`, `size_bytes` and `saved_at` (Unix seconds). Blocks.
    """
    found = []
    for run_id in run_ids:
        folder = runs_dir / run_id / FOLDER
        if not _is_own_directory(folder):
            continue
        try:
            entries = list(folder.iterdir())
        except OSError:
            continue
        for path in entries:
            if path.suffix != ".npy" or not NAME.fullmatch(path.stem) or path.is_symlink():
                continue
            try:
                status = path.stat()
            except OSError:
                continue  # deleted just now
            found.append(
                {
                    "run": run_id,
                    "name": path.stem,
                    "size_bytes": status.st_size,
                    "saved_at": status.st_mtime,
                }
            )
    found.sort(key=lambda table: (table["saved_at"], table["name"]), reverse=True)
    return found[:MOST]


def path_of(runs_dir: Path, run_ids: list[str], run: object, name: object) -> Path | None:
    """The file of a saved table; None where there is none of that name. Blocks."""
    if run not in run_ids or not isinstance(name, str) or not NAME.fullmatch(name):
        return None
    folder = runs_dir / str(run) / FOLDER
    path = (folder / f"{name}.npy").absolute()
    own = _is_own_directory(folder) and path.is_file() and not path.is_symlink()
    return path if own else None


def _is_own_directory(path: Path) -> bool:
    """Whether there is a directory, and no link to one outside the runs."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
