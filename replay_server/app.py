"""The server put together: configuration, application, start and stop.

    async with ReplayServer(ServerConfig(runs_dir="runs")) as server:
        print(server.address)

Training never runs on the server's event loop; to serve beside a training loop in the
same process, see `thread.serve_in_thread`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
from replay_server.door import HEAD_SECONDS, MAX_CONNECTIONS, Door
from replay_server.hub import Hub
from replay_server.monitoring import Monitor
from replay_server.outbox import SEND_DEADLINE
from replay_server.protocol import MAX_FRAME_BYTES
from replay_server.security import LOOPBACK, Access, AccessLogger, guard, harden, is_loopback
from replay_server.simulation import Simulation, Verdicts
from replay_server.sockets import Sockets
from replay_server.static import Site
from replay_server.tally import Tally
from replay_server.training.manager import TrainingConfig
from replay_server.training.routes import TrainingRoutes
from replay_server.training.service import TrainingService

DEFAULT_PORT: Final = 8517
KEEPALIVE_SECONDS: Final = 15.0
SHUTDOWN_SECONDS: Final = 3.0
BACKLOG: Final = 1024


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
        allowed_origins: whole origins, like `https://reel.example.org`, by which a reverse
            proxy serves this server.
        web_root: the page's directory; found by default.
        read_only: nothing is changed: no run renamed, annotated or deleted.
        allow_simulation: whether episodes may be played again in their environment, to draw
            them; None: where only this machine reaches the server, and it is not read-only.
        send_deadline: seconds that a viewer may take nothing before it is dropped.
        max_connections: the most at once (fewer where the system allows fewer files).
        head_seconds: how long a connection may take to make its first request.
        training: what it may do about training. On an address that other machines reach
            it may nothing unless `training.remote` says so.
    """

    runs_dir: Path | str = "runs"
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    allowed_hosts: Sequence[str] = ()
    allowed_origins: Sequence[str] = ()
    web_root: Path | None = None
    read_only: bool = False
    allow_simulation: bool | None = None
    send_deadline: float = SEND_DEADLINE
    max_connections: int = MAX_CONNECTIONS
    head_seconds: float = HEAD_SECONDS
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class Parts:
    """What an application is made of, for those who start and stop it."""

    access: Access
    archive: Archive
    hub: Hub
    sockets: Sockets
    door: Door
    tally: Tally
    training: TrainingService


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
    access = Access(config.token, names, config.allowed_origins)
    archive = Archive(Path(config.runs_dir))
    hub = Hub(archive, clock, recorder)
    tally = Tally()
    door = Door(tally, config.max_connections, config.head_seconds)
    training = TrainingService(archive, _permitted(config), hub.broadcast)
    sockets = Sockets(hub, archive, clock, tally, config.send_deadline, training.obey)
    monitor = Monitor(hub, archive, tally)
    site = Site(config.web_root)

    app = web.Application(
        middlewares=[door.middleware(), guard(access)], client_max_size=MAX_FRAME_BYTES
    )
    app[PARTS] = Parts(access, archive, hub, sockets, door, tally, training)
    app.router.add_get("/metrics", monitor.answer)
    app.router.add_get("/ws", sockets.handle)
    TrainingRoutes(training).add_routes(app)
    Changes(archive, read_only=config.read_only).add_routes(app)
    verdicts = Verdicts(archive)
    simulation = Simulation(archive, verdicts, allowed=_may_simulate(config))
    simulation.add_routes(app)
    Api(
        archive, hub, site, verdicts,
        read_only=config.read_only, simulation=_may_simulate(config),
    ).add_routes(app)  # fmt: skip
    app.on_response_prepare.append(harden(lambda: site.policy))
    app.on_response_prepare.append(monitor.count)

    async def start(_: web.Application) -> None:
        await archive.call(site.refresh)
        await hub.start()
        archive.look_ahead()
        await training.open()

    async def shut_down(_: web.Application) -> None:
        await sockets.close()

    async def clean_up(_: web.Application) -> None:
        await training.close()
        await simulation.close()
        await hub.close()
        await archive.close()

    app.on_startup.append(start)
    app.on_shutdown.append(shut_down)
    app.on_cleanup.append(clean_up)
    return app


def _may_simulate(config: ServerConfig) -> bool:
    """Environments are other people's code: nobody else has them run here unless allowed."""
    if config.allow_simulation is not None:
        return config.allow_simulation
    alone = not config.allowed_hosts and not config.allowed_origins
    return alone and is_loopback(config.host) and not config.read_only


def _permitted(config: ServerConfig) -> TrainingConfig:
    """Whoever else may reach the server, by its address or through a reverse proxy, starts no
    processes on this machine by default."""
    off = None
    if config.read_only:
        off = "was started with --read-only"
    elif not (config.training.remote or (is_loopback(config.host) and not config.allowed_origins)):
        off = "can be reached by other machines and was not started with --allow-remote-training"
    return config.training if off is None else replace(config.training, off=off)


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
        self._listening: asyncio.Server | None = None

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
            door, server = self.app[PARTS].door, runner.server
            assert server is not None  # set up just now
            listening = await asyncio.get_running_loop().create_server(
                lambda: door.accept(server), self.config.host, self.config.port, backlog=BACKLOG
            )
        except BaseException:
            await runner.cleanup()
            raise
        self._runner, self._listening = runner, listening
        self.port = listening.sockets[0].getsockname()[1]
        self.app[PARTS].access.bind(self.port)

    async def close(self) -> None:
        """Say goodbye to viewers and stop, within seconds whatever they do."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
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
