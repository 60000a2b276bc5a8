"""What tests of every room do with a run's directory."""

from __future__ import annotations

import shutil
from pathlib import Path


def delete_run(path: Path) -> None:
    """Delete a run that another process has open: SQLite may make a file in it meanwhile."""
    while path.exists():
        shutil.rmtree(path, ignore_errors=True)
