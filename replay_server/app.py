"""The server put together: configuration, application, start and stop.

    async with ReplayServer(ServerConfig(runs_dir="runs")) as server:
        print(server.address)

Training never runs on the server's event loop; to serve beside a training loop in the
same process, see `thread.serve_in_thread`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from aiohttp import web

from recorder import EpisodeRecorder
from replay_server.api import Api
from replay_server.archive import Archive
from replay_server.changes import Changes
from replay_server.clock import Clock, LoopClock
from replay_server.hub import Hub
from replay_server.outbox import SEND_DEADLINE
from replay_server.protocol import MAX_MESSAGE_BYTES
from replay_server.security import LOOPBACK, Access, AccessLogger, guard, harden
from replay_server.sockets import Sockets
from replay_server.static import Site

DEFAULT_PORT: Final = 8517
KEEPALIVE_SECONDS: Final = 15.0
SHUTDOWN_SECONDS: Final = 3.0


@dataclass(frozen=True)
class ServerConfig:
    """What a server is told once.

    Attributes:
        runs_dir: the directory of runs.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        token: what every request must show; made at random by default.
        allowed_hosts: further names by which clients may call this server (a machine's
            name on the network, a reverse proxy's).
        web_root: the page's directory; found by default.
        read_only: nothing is changed: no run renamed, annotated or deleted.
        send_deadline: seconds that a viewer may take nothing before it is dropped.
    """

    runs_dir: Path | str = "runs"
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    allowed_hosts: Sequence[str] = ()
    web_root: Path | None = None
    read_only: bool = False
    send_deadline: float = SEND_DEADLINE


@dataclass(frozen=True)
class Parts:
    """What an application is made of, for those who start and stop it."""

    access: Access
    archive: Archive
    hub: Hub
    sockets: Sockets


PARTS: Final = web.AppKey("parts", Parts)


def make_app(
    config: ServerConfig, recorder: EpisodeRecorder | None = None, clock: Clock | None = None
) -> web.Application:
    """The aiohttp application. It refuses every request until `Access.bind` is told the
    port, which `ReplayServer` does."""
    clock = clock or LoopClock()
    names = {*LOOPBACK, *config.allowed_hosts}
    if config.host not in ("", "0.0.0.0", "::"):
        names.add(f"[{config.host}]" if ":" in config.host else config.host)
    access = Access(config.token, names)
    archive = Archive(Path(config.runs_dir))
    hub = Hub(archive, clock, recorder)
    sockets = Sockets(hub, archive, clock, config.send_deadline)
    site = Site(config.web_root)

    app = web.Application(middlewares=[guard(access)], client_max_size=MAX_MESSAGE_BYTES)
    app[PARTS] = Parts(access, archive, hub, sockets)
    app.router.add_get("/ws", sockets.handle)
    Changes(archive, read_only=config.read_only).add_routes(app)
    Api(archive, hub, site, read_only=config.read_only).add_routes(app)
    app.on_response_prepare.append(harden(lambda: site.policy))

    async def start(_: web.Application) -> None:
        await archive.call(site.refresh)
        await hub.start()

    async def shut_down(_: web.Application) -> None:
        await sockets.close()

    async def clean_up(_: web.Application) -> None:
        await hub.close()
        await archive.close()

    app.on_startup.append(start)
    app.on_shutdown.append(shut_down)
    app.on_cleanup.append(clean_up)
    return app


class ReplayServer:
    """A running server, on the event loop that entered it.

    Args:
        config: a `ServerConfig`, or the directory of runs.
        recorder: a recorder in this process; its episodes are shown without waiting for
            the disk.
        clock: paces playback; the loop's own by default.

    Raises (on entering):
        OSError: the port is taken, or the host is none of this machine.
        RunsDirError: there is no such directory of runs.
    """

    def __init__(
        self,
        config: ServerConfig | Path | str = "runs",
        *,
        recorder: EpisodeRecorder | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not isinstance(config, ServerConfig):
            config = ServerConfig(runs_dir=config, port=0)
        self.config = config
        self.app = make_app(config, recorder, clock)
        self.port = config.port
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens, as clients call it, without a slash at the end."""
        host = self.config.host
        if host in ("", "0.0.0.0", "::"):
            host = next(iter(self.config.allowed_hosts), "127.0.0.1")
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def address(self) -> str:
        """The page's address with the token, for a person to open."""
        return f"{self.url}/?token={quote(self.config.token)}"

    async def start(self) -> None:
        """Listen."""
        runner = web.AppRunner(
            self.app,
            access_log_class=AccessLogger,
            keepalive_timeout=KEEPALIVE_SECONDS,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        try:
            await runner.setup()
            site = web.TCPSite(runner, self.config.host, self.config.port)
            await site.start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = site.port
        self.app[PARTS].access.bind(self.port)

    async def close(self) -> None:
        """Say goodbye to viewers and stop, within seconds whatever they do."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
