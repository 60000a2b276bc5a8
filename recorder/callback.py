"""The thread that `live_stream_callback` runs on, so that nothing else waits for it.

A callback may be slow, or never return. What waits for it is bounded; beyond that the
oldest episode goes, counted. It is on the tape all the same.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from recorder.episode import Episode
from recorder.livequeue import size_of

WAITING_BYTES = 64 << 20
CLOSE_S = 5.0

log = logging.getLogger(__name__)


class CallbackThread:
    """Calls `callback` with each episode, in order, on a thread of its own.

    Args:
        callback: the user's. An exception in it is logged and goes no further.
        waiting_bytes: most bytes of episodes that wait for it.
    """

    def __init__(
        self, callback: Callable[[Episode], None], waiting_bytes: int = WAITING_BYTES
    ) -> None:
        self.dropped = 0
        self._callback = callback
        self._waiting_bytes = waiting_bytes
        self._waiting: deque[tuple[Episode, int]] = deque()
        self._bytes = 0
        self._closing = False
        self._state = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="reel-callback", daemon=True)
        self._thread.start()

    def put(self, episode: Episode) -> None:
        """Add an episode; drop the oldest ones, counted, where there is no room."""
        size = size_of(episode)
        with self._state:
            self._waiting.append((episode, size))
            self._bytes += size
            while self._bytes > self._waiting_bytes:
                self._bytes -= self._waiting.popleft()[1]
                if not self.dropped:
                    log.warning("live_stream_callback is too slow: it is spared some episodes")
                self.dropped += 1
            self._state.notify()

    def close(self, limit_s: float = CLOSE_S) -> None:
        """Let it finish with what waits, for at most `limit_s` seconds."""
        with self._state:
            self._closing = True
            self._state.notify()
        if threading.current_thread() is self._thread:  # the recorder is closed from within
            return
        self._thread.join(limit_s)
        if self._thread.is_alive():
            log.warning("live_stream_callback has not returned; %d wait", len(self._waiting))

    def _run(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                episode, size = self._waiting.popleft()
                self._bytes -= size
            try:
                self._callback(episode)
            except BaseException:  # SystemExit too: it ends no more than this call
                log.exception("live_stream_callback failed; recording goes on")
