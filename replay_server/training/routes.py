"""The HTTP routes of training. They do what the messages of the WebSocket do."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from replay_server.encoding import dumps
from replay_server.parsing import training_request
from replay_server.protocol import ProtocolError
from replay_server.security import problem
from replay_server.training.errors import STATUSES, TrainingError
from replay_server.training.service import TrainingService

BODY_SECONDS: Final = 10.0

POSTS: Final = {
    "/api/training/start": "start_training",
    "/api/training/pause": "pause_training",
    "/api/training/resume": "resume_training",
    "/api/training/stop": "stop_training",
    "/api/training/reset": "reset",
    "/api/training/step": "step_training",
    "/api/training/speed": "training_speed",
    "/api/training/save": "save_qtable",
    "/api/training/load": "load_qtable",
    "/api/params": "update_params",
}
"""Which message each route stands for."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class TrainingRoutes:
    """The handlers of one server."""

    def __init__(self, service: TrainingService) -> None:
        self._service = service

    def add_routes(self, app: web.Application) -> None:
        """Register them."""
        get, post = app.router.add_get, app.router.add_post
        get("/api/training", _answering(self.overview))
        get("/api/training/schema", _answering(self.schema))
        get("/api/training/checkpoints", _answering(self.checkpoints))
        get("/api/training/{training}/history", _answering(self.history))
        for path, kind in POSTS.items():
            post(path, _answering(functools.partial(self.obey, kind)))

    async def overview(self, _: web.Request) -> dict[str, Any]:
        """All trainings."""
        return self._service.overview()

    async def schema(self, _: web.Request) -> dict[str, Any]:
        """What parameters there are."""
        return await self._service.schema()

    async def checkpoints(self, _: web.Request) -> dict[str, Any]:
        """The saved Q-tables."""
        return await self._service.tables()

    async def history(self, request: web.Request) -> dict[str, Any]:
        """The newest figures of a training."""
        return self._service.history(request.match_info["training"])

    async def obey(self, kind: str, request: web.Request) -> dict[str, Any]:
        """What a POST asks for."""
        wanted = training_request(kind, await _body(request))
        return (await self._service.obey(wanted))[1]


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            text = await request.text()
        body = json.loads(text or "{}", parse_constant=_refuse)
    except TimeoutError:
        raise problem(
            408,
            "too_slow",
            f"expected the body within {BODY_SECONDS:.0f} s, got less; send it again",
        ) from None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise problem(
            400, "bad_message", "expected a JSON object, got another body; send {} or more"
        )
    return body


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _answering(handler: Callable[[web.Request], Awaitable[dict[str, Any]]]) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            data = await handler(request)
        except TrainingError as fault:
            raise problem(STATUSES[fault.code], fault.code, str(fault)) from None
        except ProtocolError as fault:
            raise problem(400, fault.code, str(fault)) from None
        return web.Response(text=dumps(data), content_type="application/json")

    return answer
