"""How Reel starts a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def command_of(module: str, *arguments: str) -> list[str]:
    """Return a command that calls `main` of a module of Reel's in a new process.

    Its modules come from where this process has its own, in the same order, but never from
    the working directory or the script's: a `json.py` of the user's is nothing to it.
    """
    own = str(Path(__file__).resolve().parent.parent)
    # The first is the script's directory, or the working one, unless `-P` left it out.
    known = sys.path if sys.flags.safe_path else sys.path[1:]
    places = [place for place in known if place]
    if own not in places:
        places.append(own)
    code = (
        f"import sys; sys.path[:] = sys.argv.pop(1).split({os.pathsep!r}); "
        f"from {module} import main; main()"
    )
    return [sys.executable, "-P", "-c", code, os.pathsep.join(places), *arguments]
