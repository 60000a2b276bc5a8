"""Where a run came from: commit, versions, command line, machine."""

from __future__ import annotations

import getpass
import os
import platform
import socket
import subprocess
import sys
from importlib import metadata
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
    found = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found[name.lower()] = distribution.version
    return dict(sorted(found.items()))


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None
