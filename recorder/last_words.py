"""What is still to be handed in when a recorder closes."""

from __future__ import annotations

from collections.abc import Callable


class LastWords:
    """Callbacks, each called once. See `EpisodeRecorder.before_close`."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], None]] = []

    def add(self, callback: Callable[[], None]) -> None:
        """Call it when the time comes."""
        self._callbacks.append(callback)

    def remove(self, callback: Callable[[], None]) -> None:
        """Call it no more, if it was to be called."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    def clear(self) -> None:
        """Call none of them."""
        self._callbacks.clear()

    def say(self) -> None:
        """Call them, newest first, each even where another failed."""
        if self._callbacks:
            try:
                self._callbacks.pop()()
            finally:
                self.say()
