"""Ctrl-C, SIGTERM and a closed terminal as a request that the training loop reads between steps.

An exception raised wherever the signal happens to strike could leave a step half
recorded; a flag read at the end of a step cannot.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

HANGUP = 1  # SIGHUP's number, which not every platform names
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class StopRequest:
    """While entered, SIGINT, SIGTERM and SIGHUP only set `signal`; calling it tells whether
    one came.

    The first one gives the handlers back, so a second Ctrl-C ends the process as usual.
    A SIGHUP that is ignored stays so: that is what `nohup` asks for.
    Enter it on the main thread; elsewhere Python allows no handlers.

    Args:
        tell: called once a signal came, in its handler: it may take no lock.
    """

    def __init__(self, tell: Callable[[], object] = bool) -> None:
        self.signal: int | None = None
        self._tell = tell
        self._previous: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """130 after SIGINT, 143 after SIGTERM, 129 after SIGHUP, as shells have it; 0 when none
        came."""
        return 0 if self.signal is None else 128 + self.signal

    def hang_up(self) -> None:
        """Stop as on SIGHUP: whoever had this started is gone."""
        if self.signal is None:
            self.signal = HANGUP
            self._tell()

    def when_input_ends(self, descriptor: int = 0) -> None:
        """Stop, as on SIGHUP, once the other end of standard input is closed.

        Its holder need not do anything: the system closes it even for one that was killed.
        """
        threading.Thread(target=self._drain, args=(descriptor,), daemon=True).start()

    def __enter__(self) -> StopRequest:
        for number in SIGNALS:
            if number == HANGUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._give_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._give_back()
        self._tell()

    def _drain(self, descriptor: int) -> None:
        try:
            # Not sys.stdin: a thread within it at exit holds its lock, which is fatal.
            while os.read(descriptor, 4096):
                pass
        except OSError:
            pass  # no input at all has ended too
        self.hang_up()

    def _give_back(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            # None stands for a handler that was not set from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
