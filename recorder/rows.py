"""Rows of arrays, kept one by one under somebody else's training loop; and what a network says.

Between two passes of a network each line of Python runs cold, at several times what it costs in
a loop. What stands here is the compiled one (`_rows.c`) where that could be built, and its twin of
`python_rows` where it could not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from recorder.python_rows import DUE, ENDED, OTHER

if TYPE_CHECKING:
    from recorder.python_rows import Heard, Rows, fill_rows, update_locals
else:
    try:
        compiled = importlib.import_module("recorder._rows")
    except ImportError:
        compiled = importlib.import_module("recorder.python_rows")
    Heard, Rows = compiled.Heard, compiled.Rows
    fill_rows, update_locals = compiled.fill_rows, compiled.update_locals

__all__ = ["DUE", "ENDED", "OTHER", "Heard", "Rows", "fill_rows", "update_locals"]
