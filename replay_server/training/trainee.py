"""One training: what its process said last, and what is said to it.

    starting -> running <-> paused -> stopping -> ended
       any of these, when the process ends without saying so -> failed

A process that says nothing for `SILENCE_SECONDS` is marked `silent`: it hangs, or its
environment takes that long for a step. It is ended by force only where it was told to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal

from replay_server.training.errors import TrainingCode, TrainingError
from replay_server.training.link import Link, PostLink
from replay_server.training.wire import Answer, Event, Refusal, command, parse

State = Literal["starting", "running", "paused", "stopping", "ended", "failed"]
OVER: Final = ("ended", "failed")
HISTORY: Final = 1000  # updates that are kept
START_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 10.0
STOP_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 10.0

log = logging.getLogger(__name__)

Tell = Callable[["Trainee", str, dict[str, Any]], None]


class Trainee:
    """See the module.

    Args:
        id: its name on this server.
        link: to its process, which is running.
        parameters: it was started with.
        tell: called with it, the name and the data of every event.
        run: id of its run, where that is known already.
        started_at: Unix seconds.
        told: what of the process's own words clients are told.

    Attributes:
        state: where it stands.
        figures: of the newest update.
        history: the newest updates, at most `HISTORY`.
        outcome: `complete`, `stopped` or None.
        totals: what it said at its end.
        problem: why it failed, or None.
        last_lines: of its log, once it failed.
        silent: whether nothing was heard for long.
        speed: how fast it may go; `per_second` None is full speed.
    """

    def __init__(
        self,
        id: str,
        link: Link,
        parameters: dict[str, Any],
        tell: Tell,
        *,
        started_at: float,
        run: str | None = None,
        told: Callable[[str], str] = str,
    ) -> None:
        self.id = id
        self.told = told
        self.link = link
        self.parameters = parameters
        self.started_at = started_at
        self.run = run
        self.state: State = "starting" if run is None else "running"
        self.figures: dict[str, Any] = {}
        self.history: deque[dict[str, Any]] = deque(maxlen=HISTORY)
        self.outcome: str | None = None
        self.totals: dict[str, Any] = {}
        self.problem: str | None = None
        self.exit_code: int | None = None
        self.last_lines: list[str] = []
        self.silent = False
        self.speed: dict[str, Any] = {"per_second": None, "unit": "step"}
        self.started = asyncio.Event()
        self.over = asyncio.Event()
        self._tell = tell
        self._ids = itertools.count(1)
        self._due: dict[int, asyncio.Future[Answer | Refusal]] = {}
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        self._listening = loop.create_task(self._listen())
        if run is not None:
            self.started.set()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.link.pid

    def describe(self) -> dict[str, Any]:
        """All of it, as clients are told."""
        return {
            "training": self.id,
            "run": self.run,
            "state": self.state,
            "parameters": self.parameters,
            "started_at": self.started_at,
            "silent": self.silent,
            "speed": self.speed,
            "figures": self.figures,
            "outcome": self.outcome,
            "totals": self.totals,
            "problem": self.problem,
            "log": self.last_lines,
        }

    async def ask(self, name: str, /, **fields: Any) -> dict[str, Any]:
        """Send a command and wait for its answer.

        Raises:
            TrainingError: `wrong_state` where it is over or starting, `no_answer` where none
                came in time; or what the process answered.
        """
        if self.state in OVER or self.state == "starting":
            raise TrainingError(
                "wrong_state",
                f"expected a training that runs, to {name} it, got one that "
                f"{'is starting' if self.state == 'starting' else 'has ended'}; "
                f"{'wait a moment' if self.state == 'starting' else 'start another'}",
            )
        id = next(self._ids)
        self._due[id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.link.send(command(name, id, **fields))
                answer = await self._due[id]
        except (OSError, TimeoutError) as fault:
            if isinstance(fault, TimeoutError):
                message = (
                    f"expected an answer of the trainer within {ANSWER_SECONDS:.0f} s, got none; "
                    "try again, or stop it, which ends it by force if it must"
                )
                raise TrainingError("no_answer", message) from None
            raise TrainingError(
                "wrong_state", f"expected a trainer to {name}, got one that just ended; see its log"
            ) from None
        finally:
            del self._due[id]
        if isinstance(answer, Refusal):
            message = self.told(_sentence(answer.message))
            raise TrainingError(_CODES.get(answer.code, "wrong_state"), message)
        self._mirror(answer.data.get("status"))
        return answer.data

    async def stop(self) -> None:
        """Ask it to end, which keeps all finished episodes; kill it if it will not."""
        if self.state in OVER:
            return
        self._move("stopping")
        # A signal, not a command: one that hangs in its input still hears it.
        self.link.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.over.wait()
        except TimeoutError:
            log.warning("training %s did not end in time and is killed", self.id)
            self.link.kill()
            await self.over.wait()

    async def leave(self) -> None:
        """Let go of a process that goes on without us."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        assert isinstance(self.link, PostLink)
        await self.link.leave()

    def watch(self) -> None:
        """Look whether it is still heard. Called now and then."""
        rate = self.speed["per_second"]
        patience = SILENCE_SECONDS + (0 if rate is None else 2 / rate)
        quiet = asyncio.get_running_loop().time() - self._heard > patience
        if quiet and not self.silent and self.state == "running":
            self.silent = True
            self._tell(self, "state", {})

    async def _listen(self) -> None:
        while (line := await self.link.receive()) is not None:
            self._heard = asyncio.get_running_loop().time()
            if self.silent:
                self.silent = False
                self._tell(self, "state", {})
            said = parse(line)
            if isinstance(said, Event):
                try:
                    self._happened(said)
                except Exception:  # one event is lost, and not all that follow
                    log.exception("an event of training %s could not be told", self.id)
            elif isinstance(said, Refusal) and said.id is None:
                self.problem = self.told(_sentence(said.message))  # of what it was started with
            elif said is not None and (due := self._due.get(said.id or 0)) and not due.done():
                due.set_result(said)
        # A process that closed its side and lives on hears nothing any more.
        try:
            async with asyncio.timeout(STOP_SECONDS):
                self.exit_code = await self.link.wait()
        except TimeoutError:
            self.link.kill()
            self.exit_code = await self.link.wait()
        await self._ended()

    def _happened(self, event: Event) -> None:
        data = event.data
        if event.name == "started":
            self.run = data.get("run_id") or data.get("run") or self.run
            self._move("running")
            self.started.set()
        elif event.name in ("complete", "stopped"):
            self.outcome = event.name
            self.totals = data
        elif event.name == "update":
            self.figures = data
            self.history.append(data)
        self._mirror(data.get("status"))
        self._tell(self, event.name, data)

    def _mirror(self, status: object) -> None:
        """Paused or not, as the process says."""
        if self.state == "starting" and status in ("running", "paused", "stepping"):
            # Left running by a server that ended before it heard of its beginning.
            self.state = "running"
            self.started.set()
        if status in ("running", "paused", "stepping") and self.state in ("running", "paused"):
            self._heard = asyncio.get_running_loop().time()  # what was paused starts afresh
            self._move("running" if status == "running" else "paused")

    async def _ended(self) -> None:
        well = self.outcome is not None or self.state == "stopping"
        if not well or self.exit_code not in (0, None, 130, 143, 129):
            lines = await self.link.log()
            log.warning("training %s: %s", self.id, " / ".join(lines[-1:]) or "not a word")
            self.last_lines = [self.told(line) for line in lines]
            self.problem = self.problem or _problem(
                self.exit_code, self.last_lines, self.started.is_set()
            )
            if not well:
                self.outcome = None
        await self.link.close()
        for due in self._due.values():
            if not due.done():
                due.set_result(Refusal(None, "training_over", "the trainer has just ended."))
        self.silent = False
        self._move("ended" if well else "failed")
        self.started.set()
        self.over.set()

    def _move(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._tell(self, "state", {})


_CODES: Final[dict[str, TrainingCode]] = {
    "bad_value": "bad_parameter",
    "bad_input": "bad_parameter",
    "bad_message": "bad_parameter",
    "bad_checkpoint": "bad_qtable",
    "not_saved": "training_failed",
}


def _sentence(text: str) -> str:
    return text.strip().rstrip(".")


def _problem(exit_code: int | None, lines: list[str], started: bool) -> str:
    """In one sentence: what it said itself, or how it ended."""
    said = next((line for line in reversed(lines) if line.strip()), "")
    if said.startswith("Error: "):
        return _sentence(said.removeprefix("Error: "))
    if exit_code is not None and exit_code < 0:
        with contextlib.suppress(ValueError):
            return (
                f"the trainer was ended by {signal.Signals(-exit_code).name}; what it had "
                "finished is on the tape"
            )
    how = "ended" if exit_code is None else f"ended with exit code {exit_code}"
    return f"the trainer {how} {'without a word' if started else 'before it began'}: {said}".rstrip(
        ": "
    )
