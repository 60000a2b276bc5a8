"""Make the golden messages of this version of the protocol: bytes as they cross the wire.

    python tests/golden/make_messages.py

Each file is the payload of one WebSocket message; `index.json` beside them says what is in
it, in plain JSON (NaN as "nan", infinities as "inf" and "-inf"). What is there already is never
written again: clients that read these files must be able to read them for ever.
"""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from recorder import EpisodeSummary, Run, Steps, open_run
from replay_server.encoding import Frame, encode, steps_frame
from replay_server.messages import episode_end, episode_start, error, gap, state
from replay_server.playhead import Playhead
from replay_server.protocol import MAX, PROTOCOL_VERSION
from replay_server.qtables import QTables
from replay_server.qtables import message as qtable_message
from replay_server.shelf import describe
from replay_server.training.link import Link
from replay_server.training.service import news, table_told
from replay_server.training.showing import CheckpointMode
from replay_server.training.trainee import Trainee
from replay_server.training.wire import Event

HERE = Path(__file__).parent
EPOCH = 70_000  # beyond 16 bits
ROWS = 3


def columns() -> dict[str, np.ndarray]:
    """One column of every dtype of the protocol, with the values that are easy to lose."""
    words = np.empty(ROWS, dtype=object)
    words[:] = [{"at": 3, "view": [0.5, float("nan")]}, "text \u00e9", None]
    extremes = {
        "<f8": [0.1, float("nan"), float("-inf")],
        "<f4": [0.1, float("inf"), -0.0],
        "<i8": [-(2**53) + 1, 0, 2**53 - 1],
        "<i4": [-(2**31), 0, 2**31 - 1],
        "<i2": [-(2**15), 0, 2**15 - 1],
        "|i1": [-128, 0, 127],
        "|u1": [0, 1, 255],
        "<u2": [0, 1, 65_535],
        "<u4": [0, 1, 2**32 - 1],
        "|b1": [True, False, True],
    }
    return {
        "observation": np.array([7, 8, 9], dtype="<i8"),
        "action": np.array([0, 1, 2], dtype="<i8"),
        "reward": np.array([-1.0, 0.0, 20.0]),
        "q_values": np.arange(12, dtype="<f8").reshape(ROWS, 4) / 8,
        "note": words,
        **{f"of {dtype[1:]}": np.array(values, dtype) for dtype, values in extremes.items()},
    }


def summary(**changes: Any) -> EpisodeSummary:
    """An episode of three steps."""
    facts: dict[str, Any] = {
        "episode": 4, "first_step": 900, "length": ROWS, "episode_return": 19.0,
        "terminated": True, "truncated": False, "incomplete": False, "running": False,
        "epsilon": 0.25, "seed": 7, "stage": "maze", "started_at": 1_700_000_000.5,
        "duration_s": 0.5, "kept": True, "reason": None, "tags": (),
    }  # fmt: skip
    return EpisodeSummary(**{**facts, **changes})


def told(live: bool, speed: float) -> dict[str, Any]:
    """A `state`."""
    playhead = Playhead(lambda: 0.0)
    playhead.place(4, 2, ROWS, ROWS)
    playhead.set_speed(speed)
    return state(
        playhead, playhead, id="a", epoch=EPOCH, run="golden", status="live" if live else "paused",
        live=live, placed=True, finished=9,
    )  # fmt: skip


def of_a_run() -> dict[str, bytes]:
    """What is told of a whole run: of the golden tape."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "golden")
        shutil.copytree(HERE / "version-1", folder)
        with open_run(folder) as run:
            # SQLite keeps more or less beside the tape, and says nothing of it.
            told = {**describe("golden", run), "size_bytes": 40_960}
            table = q_table(run)
            return {
                "run.json": encode("run", told),
                "qtable.json": qtable_message(table, binary=False, id=5),
                "qtable.msgpack": qtable_message(table, binary=True, id=5),
            }


def q_table(run: Run) -> dict[str, Any]:
    """The data of a `qtable`, its columns as arrays."""
    return QTables().read(run, 4, 2)


class Script(Link):
    """A trainer that says what it is told to, and ends."""

    pid = 1

    def __init__(self, *lines: dict[str, Any]) -> None:
        self._code = 0 if lines[-1]["event"] in ("complete", "stopped") else 3
        self._lines = [json.dumps(line).encode() for line in lines]

    async def receive(self) -> bytes | None:
        return self._lines.pop(0) if self._lines else None

    async def wait(self) -> int:
        return self._code

    async def log(self) -> list[str]:
        return ["the last words"]

    async def close(self) -> None:
        pass

    def signal(self, number: int) -> None:
        pass

    def kill(self) -> None:
        pass


STARTED = {"event": "started", "run_id": "golden", "status": "running"}
UPDATE = {
    "event": "update", "status": "running", "episode": 50, "episodes": 1000, "total_steps": 903,
    "steps_per_s": 150.5, "mean_return_100": -12.5, "success_rate": None, "epsilon": 0.25,
}  # fmt: skip
PAUSED = {**UPDATE, "status": "paused"}
CHECKPOINT = {"event": "checkpoint", "name": "good", "path": "/runs/x.npy", "episode": 50}
WARNING = {"event": "warning", "message": "the disk is nearly full"}
TOTALS = {"episodes": 1000, "steps": 9000, "seconds": 60.5, "mean_return_100": 9.5}
COMPLETE = {"event": "complete", **TOTALS}
STOPPED = {"event": "stopped", **TOTALS, "reason": "command"}


async def trained(*lines: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Everything that everybody is told of a training that says these lines."""
    told: list[tuple[str, dict[str, Any]]] = []

    def tell(trainee: Trainee, name: str, data: dict[str, Any]) -> None:
        message = news(trainee, name, data)
        if message is not None:
            told.append((message[0], dict(message[1])))

    parameters = {"env": "GridWorld-v0", "learning_rate": 0.5, "name": "golden"}
    trainee = Trainee("t1", Script(*lines), parameters, tell, started_at=1_700_000_000.5)
    await trainee.over.wait()
    if STOPPED in lines:  # the answers to commands have no other data
        table = {**table_told(trainee, {"name": "good", "episode": 50})}
        told += [("qtable_loaded", {"id": 7, **table})]
    return told


def of_trainings() -> dict[str, bytes]:
    """What is told of training, of trainers that say what real ones do."""
    said = asyncio.run(trained(STARTED, UPDATE, PAUSED, CHECKPOINT, WARNING, STOPPED))
    messages = dict(said)  # the last of each kind
    messages |= {k: d for k, d in asyncio.run(trained(STARTED, COMPLETE)) if "complete" in k}
    failed = dict(asyncio.run(trained(STARTED)))["training_stopped"]
    mode = CheckpointMode(Path("/checkpoints"), Path("/runs"), lambda _: None)
    waiting = mode.state
    played = {"name": "good", "episode": 50, "trained": 40, "epsilon": 0.25, "stage": None}
    mode.happened(Event("started", {"run_id": "golden"}))
    mode.happened(Event("playing", played))
    files = {kind: (kind, data) for kind, data in messages.items()} | {
        "training_stopped-failed": ("training_stopped", failed),
        "checkpoint_mode-waiting": ("checkpoint_mode", waiting),
        "checkpoint_mode": ("checkpoint_mode", mode.state),
    }
    return {f"{name}.json": encode(*message) for name, message in files.items()}


def from_server() -> dict[str, bytes]:
    """Every kind of message, by the name of its file."""
    rows = columns()
    steps = Steps(4, 0, ROWS, rows, np.int64(10), 0.0)
    metrics = {
        "run": "golden", "recording": True, "episodes": 9, "steps": 903, "episodes_per_s": 1.5,
        "steps_per_s": 150.0, "return_100": float("nan"), "length_100": 100.5, "epsilon": 0.25,
        "lost": 0, "viewers": 2,
    }  # fmt: skip

    def frame(made: Frame) -> bytes:
        return made.wire(EPOCH)

    return {
        "hello.json": encode(
            "hello", {"protocol": PROTOCOL_VERSION, "server": "0.1.0", "heartbeat": 4}
        ),
        "state-paused.json": encode("state", told(False, 0.5)),
        "state-live.json": encode("state", told(True, 1.0)),
        "state-max.json": encode("state", told(False, MAX)),
        "episode_start.json": frame(episode_start(summary(), 0, 0.0)),
        "episode_start-running.json": frame(episode_start(summary(running=True), 2, -1.5)),
        "steps.json": frame(steps_frame(binary=False, episode=4, first=0, at=2, columns=rows)),
        "steps.msgpack": frame(steps_frame(binary=True, episode=4, first=0, at=2, columns=rows)),
        "episode_end.json": frame(episode_end(summary(), steps)),
        "metrics.json": encode("metrics", metrics),
        "gap.json": frame(gap("skipped", 5, 8)),
        "gap-part.json": frame(gap("damaged", 4, 4, (16384, 32767))),
        "status.json": encode("status", {"runs_changed": True, "recording": ["golden"]}),
        "error.json": encode("error", error("bad_field", "expected \u201cspeed\u201d", 3)),
        "pong.json": encode("pong", {"id": 2, "t": 1.5}),
        **of_a_run(),
        **of_trainings(),
    }


FROM_CLIENT = {
    "open.json": ["open", {"run": "golden", "episode": 4, "step": 2, "speed": 2.5, "id": 1}],
    "open-live.json": ["open", {"live": True}],
    "control.json": [
        "control",
        {"playing": True, "speed": "max", "seek": {"episode": 4, "step": 0}, "loop": "episode",
         "autoplay": False, "id": "a"},
    ],
    "control-live.json": ["control", {"live": True}],
    "step.json": ["step", {"by": -1}],
    "ping.json": ["ping", {"t": 1.5, "id": 2}],
    "open-list.json": [
        "open",
        {"run": "golden", "autoplay": {"where": "not success", "sort": "best", "count": 10}},
    ],
    "control-loop.json": ["control", {"loop": {"from": 3, "to": 12}, "speed": 0.5}],
    "qtable.json": ["qtable", {"run": "golden", "episode": 4, "step": 2, "id": 5}],
    "start_training.json": [
        "start_training",
        {"parameters": {"env": "GridWorld-v0", "learning_rate": 0.5, "name": "golden"},
         "preset": "balanced", "load": {"run": "old", "name": "final"}, "id": 6},
    ],
    "pause_training.json": ["pause_training", {"training": "t1"}],
    "resume_training.json": ["resume_training", {"training": "t1"}],
    "stop_training.json": ["stop_training", {"training": "t1"}],
    "reset.json": ["reset", {"training": "t1"}],
    "step_training.json": ["step_training", {"training": "t1", "by": 3, "unit": "episode"}],
    "training_speed.json": [
        "training_speed", {"training": "t1", "per_second": 2.5, "unit": "step"}
    ],
    "update_params.json": ["update_params", {"training": "t1", "parameters": {"epsilon": 0.25}}],
    "save_qtable.json": ["save_qtable", {"training": "t1", "name": "good"}],
    "load_qtable.json": ["load_qtable", {"training": "t1", "run": "old", "name": "good", "id": 7}],
}  # fmt: skip


def payload(wire: bytes) -> bytes:
    """A WebSocket frame without its head."""
    return wire[{126: 4, 127: 10}.get(wire[1], 2) :]


def plain(value: Any) -> Any:
    """A value for the index."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def files() -> dict[str, bytes]:
    """All of them, as they stand under `protocol-N`."""
    index = {name: plain(values.tolist()) for name, values in columns().items()}
    return {
        **{f"server/{name}": payload(wire) for name, wire in from_server().items()},
        **{
            f"client/{name}": json.dumps(message, separators=(",", ":")).encode()
            for name, message in FROM_CLIENT.items()
        },
        "index.json": json.dumps({"epoch": EPOCH, "columns": index}, indent=1).encode() + b"\n",
    }


def main() -> None:
    """Write those that are missing."""
    place = HERE / f"protocol-{PROTOCOL_VERSION}"
    for name, data in files().items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        if not (place / name).exists():
            (place / name).write_bytes(data)


if __name__ == "__main__":
    main()
