"""How a process of Reel's own is started: the very command that a person types."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path


def reel_command(*words: str) -> list[str]:
    """A command of Reel's, as a process of ours is started by it."""
    # -P: the working directory's modules are none of Reel's, whatever their names.
    return [sys.executable, "-P", "-m", "reel", *words]


def environment() -> dict[str, str]:
    """Our own, with the folder of `reel.py` on the path where it is not there by itself."""
    variables = dict(os.environ)
    # An empty entry would be the working directory.
    places = [place for place in variables.pop("PYTHONPATH", "").split(os.pathsep) if place]
    folder = str(Path(__file__).resolve().parent.parent)
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    if folder not in {str(Path(place).resolve()) for place in installed}:
        places.insert(0, folder)  # a checkout, which need not be installed
    if places:
        variables["PYTHONPATH"] = os.pathsep.join(places)
    return variables
