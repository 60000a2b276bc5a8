"""Make the golden messages of this version of the protocol: bytes as they cross the wire.

    python tests/golden/make_messages.py

Each file is the payload of one WebSocket message; `index.json` beside them says what is in
it, in plain JSON (NaN as "nan", infinities as "inf" and "-inf"). Run once for each new
`PROTOCOL_VERSION`, and never again for an old one: clients that read these files must be
able to read them for ever.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from recorder import EpisodeSummary, Steps
from replay_server.encoding import Frame, encode, steps_frame
from replay_server.messages import episode_end, episode_start, error, gap, state
from replay_server.playhead import Playhead
from replay_server.protocol import MAX, PROTOCOL_VERSION

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


def from_server() -> dict[str, bytes]:
    """Every kind of message that is made of plain values, by the name of its file."""
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
        "status.json": encode("status", {"runs_changed": True, "recording": ["golden"]}),
        "error.json": encode("error", error("bad_field", "expected \u201cspeed\u201d", 3)),
        "pong.json": encode("pong", {"id": 2, "t": 1.5}),
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
    """Write them."""
    place = HERE / f"protocol-{PROTOCOL_VERSION}"
    if place.exists():
        raise SystemExit(f"{place} is there already")
    for name, data in files().items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)


if __name__ == "__main__":
    main()
