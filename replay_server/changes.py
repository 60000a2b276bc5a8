"""The HTTP routes that change something: what people say of a run, and its removal.

They stand in a sidecar of the run's directory (`recorder.labels`) or take the directory
away (`recorder.removal`); no tape is ever written. Under `--read-only` there is none of them.
Like all routes they ask for the token, and refuse the pages of other sites (`security`).
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from recorder import RecorderError, find_run, label_run, remove_run
from replay_server.archive import Archive
from replay_server.encoding import dumps
from replay_server.messages import Data
from replay_server.security import problem

_STATUS = {"unknown_run": 404, "run_busy": 409}


class Changes:
    """The handlers of one server.

    Args:
        archive: whose runs they change.
        read_only: refuse every change.
    """

    def __init__(self, archive: Archive, *, read_only: bool) -> None:
        self._archive = archive
        self._read_only = read_only

    def add_routes(self, app: web.Application) -> None:
        """Register them; a server that is read-only says so."""
        app.router.add_patch("/api/runs/{run}", self._answering(self.label))
        app.router.add_delete("/api/runs/{run}", self._answering(self.remove))

    async def label(self, run_id: str, said: Data) -> Data:
        """Rename a run, replace its tags or its note; what is not named stays."""
        unknown = sorted(said.keys() - {"name", "tags", "note"})
        if unknown:
            raise _bad(f"any of name, tags and note, got {unknown[0][:40]!r} too")
        name, note, tags = said.get("name"), said.get("note"), said.get("tags")
        if not isinstance(name, str | None) or not isinstance(note, str | None):
            raise _bad("name and note as text")
        words = isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)
        if tags is not None and not words:
            raise _bad("tags as a list of words")

        def change() -> None:
            path = find_run(self._archive.shelf.runs_dir, run_id)
            remove: set[str] = set()
            if tags is not None:
                with self._archive.shelf.borrow(run_id) as run:
                    remove = set(run.info.tags) - set(tags)
            label_run(path, name=name, add_tags=tags or (), remove_tags=remove, note=note)

        await self._archive.call(change)
        return await self._archive.run(run_id)

    async def remove(self, run_id: str, _: Data) -> Data:
        """Delete a run and all that stands in its directory; one that is recorded stays."""
        await self._archive.call(remove_run, self._archive.shelf.runs_dir, run_id)
        self._archive.forget(run_id)
        return {"removed": run_id}

    def _answering(
        self, handler: Callable[[str, Data], Awaitable[Data]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        @functools.wraps(handler)
        async def answer(request: web.Request) -> web.StreamResponse:
            if self._read_only:
                raise problem(
                    403, "read_only",
                    "expected to read only, got a change; start the server without --read-only "
                    "to change runs",
                )  # fmt: skip
            try:
                said = await _object(request)
                data = await handler(request.match_info["run"], said)
            except RecorderError as fault:
                told = self._archive.shelf.told(fault)
                raise problem(_STATUS.get(fault.code, 400), fault.code, told) from None
            return web.Response(text=dumps(data), content_type="application/json")

        return answer


async def _object(request: web.Request) -> Data:
    try:
        said: Any = await request.json() if request.can_read_body else {}
    except ValueError as error:
        raise _bad(f"JSON, got text that does not parse ({error})") from None
    except RecursionError:
        raise _bad("a flat object, got JSON nested too deeply") from None
    if not isinstance(said, dict):
        raise _bad(f"a JSON object, got {type(said).__name__}")
    return said


def _bad(expected: str) -> web.HTTPException:
    return problem(400, "bad_field", f"expected {expected}; see docs/protocol.md")
