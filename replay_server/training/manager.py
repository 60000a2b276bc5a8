"""All trainings of one server: starting, finding and ending them, up to a limit.

Each is a process of its own (`trainee`), so that what befalls one harms neither the others
nor the server. What happens to any of them is handed to `tell`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from replay_server.messages import without_paths, without_place
from replay_server.trainer import reel_command
from replay_server.training import schema as schemas
from replay_server.training.errors import TrainingError
from replay_server.training.link import Link, PipeLink, PostLink
from replay_server.training.schema import Schema
from replay_server.training.trainee import OVER, START_SECONDS, Tell, Trainee

KEPT: Final = 8  # trainings that are over and still told of
MAX_TRAINERS: Final = 4
FOLDER: Final = ".trainers"
WATCH_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """What a server may do about training.

    Attributes:
        off: why it may not start or steer any, as the end of a sentence; None if it may.
        max_trainers: how many run at once.
        detach: leave them running when the server ends.
        remote: they may be steered from other machines too.
        checkpoints: a directory of which the newest checkpoint is played, or None.
        command: the words of `reel train --child`; found by default.
    """

    off: str | None = None
    max_trainers: int = MAX_TRAINERS
    detach: bool = False
    remote: bool = False
    checkpoints: Path | None = None
    command: Sequence[str] = ()


class Manager:
    """See the module. Use from one event loop.

    Args:
        runs_dir: where runs are recorded.
        config: what it may do.
        tell: called with a training, the name and the data of whatever happens to it.
    """

    def __init__(self, runs_dir: Path, config: TrainingConfig, tell: Tell) -> None:
        self.config = config
        self._runs_dir = runs_dir
        self._tell = tell
        self._command = [*(config.command or reel_command("train", "--child"))]
        self._trainees: dict[str, Trainee] = {}
        self._schema: asyncio.Task[Schema] | None = None
        self._starting = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False

    async def open(self) -> None:
        """Find the trainings that an earlier server left running."""
        for folder in await asyncio.to_thread(_folders, self._runs_dir / FOLDER):
            try:
                found = await PostLink.find(folder)
            except (OSError, ValueError, KeyError) as error:
                log.warning("a training left running in %s cannot be found: %s", folder, error)
                continue
            if found is not None:
                link, about = found
                trainee = Trainee(
                    folder.name, link, about["parameters"], self._told,
                    started_at=about["started_at"], run=about["run"], told=self._said,
                )  # fmt: skip
                trainee.speed = about.get("speed", trainee.speed)
                self._admit(trainee)
                # One that is paused says nothing by itself; its answer tells how it stands.
                self._spawn(self._greet(trainee))
        if self.config.off is None:
            self._spawn(self._watch())

    async def close(self) -> None:
        """End all trainings cleanly and at once, or leave them as they are."""
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._schema is not None:
            self._schema.cancel()
            await asyncio.gather(self._schema, return_exceptions=True)
        left = [t for t in self._trainees.values() if t.state not in OVER]
        stay = [t for t in left if self.config.detach and isinstance(t.link, PostLink)]
        await asyncio.gather(*(t.leave() for t in stay), *(t.stop() for t in left if t not in stay))

    @property
    def trainees(self) -> list[Trainee]:
        """All trainings that are told of, the newest last."""
        return list(self._trainees.values())

    async def schema(self) -> Schema:
        """What parameters there are.

        Raises:
            TrainingError: the training command does not tell.
        """
        if self._schema is None or (self._schema.done() and self._failed(self._schema)):
            self._schema = asyncio.get_running_loop().create_task(schemas.ask(self._command))
        return await asyncio.shield(self._schema)

    def find(self, name: str | None) -> Trainee:
        """The training of that id, or that records into the run of that id; without a name
        the only one that is not over.

        Raises:
            TrainingError: `no_training`: there is none, or more than one could be meant.
        """
        if name is not None:
            for trainee in reversed(self._trainees.values()):
                if name in (trainee.id, trainee.run):
                    return trainee
            raise TrainingError(
                "no_training",
                "expected the id of a training or of its run, got another text; "
                "GET /api/training names them",
            )
        self._allowed()
        active = self._active()
        if len(active) == 1:
            return active[0]
        raise TrainingError(
            "no_training",
            "expected a training to be running, got none; start one"
            if not active
            else f"expected the id of one of {len(active)} trainings, got none; name one",
        )

    async def start(
        self,
        given: Mapping[str, Any],
        preset: str | None = None,
        load: Path | None = None,
        per_second: float | None = None,
    ) -> Trainee:
        """Start a training, and return once it trains.

        Args:
            given: its parameters.
            preset: for those not given.
            load: Q-table to begin with.
            per_second: steps; no faster than this.

        Raises:
            TrainingError: it may not, or cannot be; its own words say why.
        """
        self._allowed()
        schema = await self.schema()
        parameters = schema.check(given, preset)
        async with self._starting:  # so that two at once see each other
            self._refuse_twin(parameters)
            active = len(self._active())
            if active >= self.config.max_trainers:
                raise TrainingError(
                    "too_many_trainers",
                    f"expected at most {self.config.max_trainers} trainings at once, got "
                    f"{active} running already; stop one, or start the server with a larger "
                    "--max-trainers",
                )
            options = schema.options(parameters)
            if load is not None:
                options.append(f"--load={load}")
            if per_second is not None:
                options.append(f"--steps-per-second={per_second}")
            trainee = await self._launch(parameters, options)
            trainee.speed = {"per_second": per_second, "unit": "step"}
        # Whoever asked may leave meanwhile; the training starts all the same.
        return await asyncio.shield(self._spawn(self._begin(trainee)))

    async def command(self, trainee: Trainee, name: str, /, **fields: Any) -> dict[str, Any]:
        """Say something to a training that runs; its answer.

        Raises:
            TrainingError: as `Trainee.ask`.
        """
        self._allowed()
        return await trainee.ask(name, **fields)

    async def change(self, trainee: Trainee, given: Mapping[str, Any]) -> dict[str, Any]:
        """Change live parameters from the next episode on.

        Raises:
            TrainingError: one is locked or not allowed, and none is changed; or as
                `Trainee.ask`.
        """
        self._allowed()
        values = (await self.schema()).check_live(given)
        answer = await trainee.ask("set", **values)
        trainee.parameters = {**trainee.parameters, **values}
        await self._note(trainee)
        return answer

    async def pace(self, trainee: Trainee, per_second: float | None, unit: str) -> None:
        """Let it go no faster than that; None is full speed.

        Raises:
            TrainingError: as `Trainee.ask`.
        """
        await self.command(trainee, "speed", per_second=per_second, unit=unit)
        trainee.speed = {"per_second": per_second, "unit": unit}
        await self._note(trainee)

    async def stop(self, trainee: Trainee) -> None:
        """End a training; return once it has ended.

        Raises:
            TrainingError: `wrong_state`: it has ended, or is about to.
        """
        self._allowed()
        if trainee.state in (*OVER, "stopping"):
            raise TrainingError(
                "wrong_state",
                "expected a training that runs, to stop it, got one that "
                f"{'is being stopped' if trainee.state == 'stopping' else 'has ended'}; "
                "there is nothing to do",
            )
        await asyncio.shield(self._spawn(trainee.stop()))

    async def _launch(self, parameters: dict[str, Any], options: list[str]) -> Trainee:
        command = [*self._command, f"--runs-dir={self._runs_dir}", *options]
        id = f"t{secrets.token_hex(4)}"
        now = time.time()
        link: Link
        try:
            if self.config.detach:
                command.append("--detach")
                about = {"parameters": parameters, "started_at": now, "run": None}
                link = await PostLink.start(command, self._runs_dir / FOLDER / id, about)
            else:
                link = await PipeLink.start(command)
        except OSError as error:
            raise TrainingError(
                "training_failed",
                f"expected to start a trainer process, got {error.strerror or error}; "
                "free what it lacks and try again",
            ) from None
        trainee = Trainee(id, link, parameters, self._told, started_at=now, told=self._said)
        self._admit(trainee)
        return trainee

    def _said(self, text: str) -> str:
        """A trainer's own words, for those who need not learn where the server keeps things."""
        return without_paths(without_place(text, self._runs_dir))

    async def _begin(self, trainee: Trainee) -> Trainee:
        try:
            async with asyncio.timeout(START_SECONDS):
                await trainee.started.wait()
        except TimeoutError:
            await trainee.stop()
        if trainee.state == "failed" or (trainee.state in OVER and trainee.run is None):
            # It never was one: the error says all that there is to say.
            self._trainees.pop(trainee.id, None)
            problem = trainee.problem or "it was stopped before it began, or took too long"
            raise TrainingError("training_failed", problem)
        await self._note(trainee)
        return trainee

    def _admit(self, trainee: Trainee) -> None:
        self._trainees[trainee.id] = trainee
        over = [t for t in self._trainees.values() if t.state in OVER]
        for old in over[: max(0, len(over) - KEPT)]:
            del self._trainees[old.id]

    def _active(self) -> list[Trainee]:
        return [t for t in self._trainees.values() if t.state not in OVER]

    def _allowed(self) -> None:
        if self.config.off is not None:
            raise TrainingError(
                "training_off",
                f"expected a server that may steer trainings, got one that {self.config.off}",
            )
        if self._closing:
            raise TrainingError(
                "training_off", "expected a server that goes on, got one that is ending"
            )

    def _refuse_twin(self, parameters: dict[str, Any]) -> None:
        name = parameters.get("name")
        for other in self._active():
            same_name = name is not None and other.parameters.get("name") == name
            if same_name or other.parameters == parameters:
                what = f"one named {name}" if same_name else "one with the very same parameters"
                raise TrainingError(
                    "already_running",
                    f"expected a training that does not run yet, got {what}, which is running; "
                    "stop that, or choose another name",
                )

    async def _greet(self, trainee: Trainee) -> None:
        with contextlib.suppress(TrainingError):
            await trainee.ask("speed", **trainee.speed)

    async def _note(self, trainee: Trainee) -> None:
        if isinstance(trainee.link, PostLink) and trainee.state not in OVER:
            with contextlib.suppress(OSError):  # it is gone already, folder and all
                await trainee.link.update(
                    {
                        "parameters": trainee.parameters,
                        "started_at": trainee.started_at,
                        "run": trainee.run,
                        "speed": trainee.speed,
                    }
                )

    def _told(self, trainee: Trainee, name: str, data: dict[str, Any]) -> None:
        if not self._closing:
            self._tell(trainee, name, data)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for trainee in self._active():
                trainee.watch()

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @staticmethod
    def _failed(task: asyncio.Task[Schema]) -> bool:
        return task.cancelled() or task.exception() is not None


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.is_dir())
    except OSError:
        return []
