"""What must happen in a forked child: it lets go of the recorders of its parent.

A child made by `os.fork` (`multiprocessing` with the fork method, Gymnasium's asynchronous
vector environments) has a copy of everything, the pipes to the writer and the run's lock
among it, but no copy of the threads. Left alone it would hold the lock of a run whose
trainer is long dead, and keep the writer waiting for more to come.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """What can be watched."""

    def after_fork_in_child(self) -> None:
        """Called in the child, where no other thread is."""


_watched: weakref.WeakSet[Forked] = weakref.WeakSet()


def watch(thing: Forked) -> None:
    """Tell `thing` when it finds itself in a forked child."""
    _watched.add(thing)


def _in_child() -> None:
    for thing in list(_watched):
        thing.after_fork_in_child()
    _watched.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
