"""Where a run came from: commit, versions, command line, machine."""

from __future__ import annotations

import getpass
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

_GIT_LIMIT_S = 5.0


def collect() -> dict[str, Any]:
    """Return what can be known of this process without being told.

    `git` describes the repository of the working directory, or is None outside one.
    """
    return {
        "git": _git(),
        "python": platform.python_version(),
        "packages": _packages(),
        "argv": list(sys.argv),
        "host": socket.gethostname(),
        "user": _user(),
        "platform": platform.platform(),
        "pid": os.getpid(),
    }


def _git() -> dict[str, Any] | None:
    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", *words],
            capture_output=True,
            text=True,
            timeout=_GIT_LIMIT_S,
            check=True,
            stdin=subprocess.DEVNULL,
        ).stdout.strip()

    try:
        return {
            "commit": ask("rev-parse", "HEAD"),
            "branch": ask("rev-parse", "--abbrev-ref", "HEAD"),
            "dirty": bool(ask("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def _packages() -> dict[str, str]:
    """Names and versions by the names of their folders: reading each one's metadata takes
    a fifth of a second of the training loop's time.
    """
    found: dict[str, str] = {}
    for place in sys.path:
        for file in Path(place or ".").glob("*.dist-info"):
            name, _, version = file.stem.partition("-")
            found.setdefault(name.lower().replace("_", "-"), version)
    return dict(sorted(found.items()))


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None
