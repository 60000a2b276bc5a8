"""Training as clients ask for it: one request in, one answer out, and news to everybody.

The WebSocket and the HTTP routes both end here, so both can do the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from replay_server.archive import Archive
from replay_server.encoding import encode
from replay_server.protocol import TrainingRequest
from replay_server.training import checkpoints
from replay_server.training.errors import TrainingError
from replay_server.training.manager import Manager, TrainingConfig
from replay_server.training.showing import CheckpointMode
from replay_server.training.trainee import Trainee

Data = dict[str, Any]
Answer = tuple[str, Data]
UNITS = ("step", "episode")


class TrainingService:
    """See the module.

    Args:
        archive: knows the runs.
        config: what may be done.
        broadcast: given every message that is for all clients, encoded.
    """

    def __init__(
        self, archive: Archive, config: TrainingConfig, broadcast: Callable[[bytes], None]
    ) -> None:
        self._archive = archive
        self._runs_dir = archive.shelf.runs_dir
        self._broadcast = broadcast
        self.manager = Manager(self._runs_dir, config, self._tell)
        self.showing = None
        if config.checkpoints is not None:
            self.showing = CheckpointMode(config.checkpoints, self._runs_dir, self._show)
        self._handlers: dict[str, Callable[[Mapping[str, Any]], Awaitable[Answer]]] = {
            "start_training": self._start,
            "pause_training": self._plain("pause"),
            "resume_training": self._plain("resume"),
            "reset": self._plain("reset"),
            "stop_training": self._stop,
            "step_training": self._step,
            "training_speed": self._speed,
            "update_params": self._change,
            "save_qtable": self._save,
            "load_qtable": self._load,
        }

    async def open(self) -> None:
        """Find trainings left running; begin checkpoint mode."""
        await self.manager.open()
        if self.showing is not None:
            self.showing.start()

    async def close(self) -> None:
        """End all of its processes, but those that are to be left running."""
        if self.showing is not None:
            await asyncio.gather(self.manager.close(), self.showing.close())
        else:
            await self.manager.close()

    async def obey(self, request: TrainingRequest) -> Answer:
        """Do what a request says.

        Returns:
            The type and the data of the message that answers it, without `id`.

        Raises:
            TrainingError: it cannot be done; nothing has changed.
        """
        return await self._handlers[request.kind](request.values)

    def overview(self) -> Data:
        """All trainings, and whether any may be started."""
        config = self.manager.config
        return {
            "allowed": config.off is None,
            "reason": config.off,
            "max_trainers": config.max_trainers,
            "trainings": [trainee.describe() for trainee in self.manager.trainees],
            "checkpoint_mode": None if self.showing is None else self.showing.state,
        }

    async def schema(self) -> Data:
        """The parameters and presets of a training."""
        return (await self.manager.schema()).facts

    async def tables(self) -> Data:
        """The saved Q-tables."""
        ids = await self._archive.call(self._archive.shelf.ids)
        return {
            "checkpoints": await self._archive.call(lambda: checkpoints.listed(self._runs_dir, ids))
        }

    def history(self, name: str) -> Data:
        """The newest updates of a training."""
        trainee = self.manager.find(name)
        return {"training": trainee.id, "run": trainee.run, "updates": list(trainee.history)}

    async def _start(self, values: Mapping[str, Any]) -> Answer:
        load = values.get("load")
        path = None
        if load is not None:
            path = await self._table(load.get("run"), load.get("name"))
        trainee = await self.manager.start(values.get("parameters", {}), values.get("preset"), path)
        return "training_started", trainee.describe()

    async def _stop(self, values: Mapping[str, Any]) -> Answer:
        trainee = self._meant(values)
        await self.manager.stop(trainee)
        return "training_stopped", trainee.describe()

    async def _step(self, values: Mapping[str, Any]) -> Answer:
        by, unit = values.get("by", 1), values.get("unit", "step")
        return await self._ask(self._meant(values), "step", by=by, unit=_unit(unit))

    async def _speed(self, values: Mapping[str, Any]) -> Answer:
        trainee = self._meant(values)
        rate, unit = values.get("per_second"), _unit(values.get("unit", "step"))
        await self.manager.pace(trainee, rate, unit)
        return self._everybody(trainee)

    async def _change(self, values: Mapping[str, Any]) -> Answer:
        trainee = self._meant(values)
        await self.manager.change(trainee, values.get("parameters", {}))
        return self._everybody(trainee)

    async def _save(self, values: Mapping[str, Any]) -> Answer:
        trainee = self._meant(values)
        name = values.get("name")
        if name is not None and not checkpoints.NAME.fullmatch(name):
            raise _bad_name(name)
        fields = {} if name is None else {"name": name}
        answer = await self.manager.command(trainee, "save", **fields)
        return "qtable_saved", table_told(trainee, answer)

    async def _load(self, values: Mapping[str, Any]) -> Answer:
        trainee = self._meant(values)
        name = values.get("name")
        path = await self._table(values.get("run", trainee.run), name)
        answer = await self.manager.command(trainee, "load", path=str(path))
        return "qtable_loaded", table_told(trainee, {**answer, "name": name})

    def _plain(self, command: str) -> Callable[[Mapping[str, Any]], Awaitable[Answer]]:
        async def obey(values: Mapping[str, Any]) -> Answer:
            return await self._ask(self._meant(values), command)

        return obey

    async def _ask(self, trainee: Trainee, command: str, **fields: Any) -> Answer:
        await self.manager.command(trainee, command, **fields)
        return "training", trainee.describe()

    def _meant(self, values: Mapping[str, Any]) -> Trainee:
        return self.manager.find(values.get("training"))

    async def _table(self, run: object, name: object) -> Any:
        if not isinstance(name, str) or not checkpoints.NAME.fullmatch(name):
            raise _bad_name(name)
        ids = await self._archive.call(self._archive.shelf.ids)
        path = await self._archive.call(lambda: checkpoints.path_of(self._runs_dir, ids, run, name))
        if path is None:
            raise TrainingError(
                "bad_qtable",
                f"expected a saved Q-table of that run, got {name}, which it does not have; "
                "GET /api/training/checkpoints names them",
            )
        return path

    def _everybody(self, trainee: Trainee) -> Answer:
        self._broadcast(encode("training", trainee.describe()))
        return "training", trainee.describe()

    def _show(self, state: Data) -> None:
        self._broadcast(encode("checkpoint_mode", state))

    def _tell(self, trainee: Trainee, name: str, data: Data) -> None:
        message = news(trainee, name, data)
        if message is not None:
            self._broadcast(encode(*message))


def news(trainee: Trainee, name: str, data: Data) -> Answer | None:
    """What everybody is told of an event; None where nothing is."""
    which: Data = {"training": trainee.id, "run": trainee.run}
    if name == "update":
        return "training_update", {**which, "state": trainee.state, "figures": trainee.figures}
    if name == "checkpoint":
        return "qtable_saved", table_told(trainee, data)
    if name == "warning":
        return "training_warning", {**which, "message": trainee.told(str(data.get("message", "")))}
    if name == "state":
        if trainee.state in ("ended", "failed"):
            complete = trainee.state == "ended" and trainee.outcome == "complete"
            kind = "training_complete" if complete else "training_stopped"
            return kind, trainee.describe()
        started = trainee.state == "running" and not trainee.started.is_set()
        return "training_started" if started else "training", trainee.describe()
    return None


def table_told(trainee: Trainee, data: Data) -> Data:
    """The data of `qtable_saved` and `qtable_loaded`."""
    return {
        "training": trainee.id,
        "run": trainee.run,
        "name": data.get("name"),
        "episode": data.get("episode"),
    }


def _unit(unit: str) -> str:
    if unit not in UNITS:
        raise TrainingError(
            "bad_parameter", f"expected unit to be step or episode, got {unit[:40]!r}; choose one"
        )
    return unit


def _bad_name(name: object) -> TrainingError:
    return TrainingError(
        "bad_qtable",
        "expected the name of a Q-table, 1 to 64 of a-z, 0-9, '-' and '_' and no path, got "
        f"{str(name)[:60]!r}; correct it",
    )
