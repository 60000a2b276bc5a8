"""How a person calls Reel here: what hints on the terminal tell them to type."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def reel_command() -> str:
    """`reel` where the shell finds it, else the path of the script, else Python's own way.

    The script that belongs to the running interpreter is meant: another environment's
    `reel` on PATH may be of another version. Never fails: errors are worded with it.
    """
    if not sys.executable:  # embedded in a program that is no Python
        return "reel"
    script = Path(sys.executable).parent / "reel"
    found = shutil.which("reel")
    if found is not None and _same(Path(found), script):
        return "reel"
    if script.is_file():
        return shlex.quote(_short(script))
    return f"{shlex.quote(_short(Path(sys.executable)))} -m reel"


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _short(path: Path) -> str:
    """From here, where that is nearer."""
    try:
        return os.path.join(".", path.relative_to(Path.cwd()))[2:]  # noqa: PTH118
    except (ValueError, OSError):
        return str(path)
