"""A server beside a training loop: in the same process, on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self

from recorder import EpisodeRecorder
from replay_server.app import ReplayServer, ServerConfig


class ServerThread:
    """A server running on another thread, until closed. Use `serve_in_thread`."""

    def __init__(self, config: ServerConfig, recorder: EpisodeRecorder | None) -> None:
        self.address = ""
        self.url = ""
        self._config = config
        self._recorder = recorder
        self._ready = threading.Event()
        self._fault: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._main, name="reel-server", daemon=True)
        self._thread.start()
        self._ready.wait()
        self._raise_fault()

    def close(self) -> None:
        """Stop the server and wait for its thread. May be called twice."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and self._thread.is_alive():
            try:
                loop.call_soon_threadsafe(stop.set)
            except RuntimeError:
                pass  # the loop has ended by itself meanwhile
        self._thread.join()

    def _raise_fault(self) -> None:
        if self._fault is not None:
            self._thread.join()
            raise self._fault

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as fault:  # told to the thread that started us
            self._fault = fault
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        async with ReplayServer(self._config, recorder=self._recorder) as server:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            self.address, self.url = server.address, server.url
            self._ready.set()
            await self._stop.wait()


def serve_in_thread(
    recorder: EpisodeRecorder | None = None, config: ServerConfig | None = None
) -> ServerThread:
    """Serve beside a training loop and return once the server listens.

        with EpisodeRecorder("runs", env=env) as recorder, serve_in_thread(recorder) as server:
            print(server.address)
            train(recorder)

    Args:
        recorder: the training loop's recorder.
        config: by default the recorder's directory of runs, on a free port.

    Raises:
        OSError: the port is taken.
    """
    if config is None:
        runs_dir = "runs" if recorder is None else recorder.path.parent
        config = ServerConfig(runs_dir=runs_dir, port=0)
    return ServerThread(config, recorder)
