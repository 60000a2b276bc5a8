"""The golden messages: what this version wrote once is what it writes now, and can be read."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from recorder import open_run
from replay_server.client_events import (
    EpisodeEnd,
    read_column,
    read_end,
    read_gap,
    read_message,
    read_steps,
)
from replay_server.parsing import parse
from replay_server.protocol import (
    CLIENT_FIELDS,
    MAX,
    SERVER_FIELDS,
    Autoplay,
    Control,
    Open,
    Ping,
    QTableAt,
    Seek,
    Step,
    TrainingRequest,
)

GOLDEN = Path(__file__).parents[1] / "golden"
PLACE = GOLDEN / "protocol-1"
TRAINING: list[tuple[str, dict[str, Any], int | None]] = [
    ("pause_training", {}, None),
    ("resume_training", {}, None),
    ("stop_training", {}, None),
    ("reset", {}, None),
    ("step_training", {"by": 3, "unit": "episode"}, None),
    ("training_speed", {"per_second": 2.5, "unit": "step"}, None),
    ("update_params", {"parameters": {"epsilon": 0.25}}, None),
    ("save_qtable", {"name": "good"}, None),
    ("load_qtable", {"run": "old", "name": "good"}, 7),
]
INDEX = json.loads((PLACE / "index.json").read_text())


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_messages", GOLDEN / "make_messages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(name: str) -> tuple[str, dict[str, Any]]:
    data = (PLACE / "server" / name).read_bytes()
    return read_message(data if name.endswith(".msgpack") else data.decode())


def test_the_bytes_are_those_that_the_server_writes_now() -> None:
    files = maker().files()
    there = {path.relative_to(PLACE).as_posix() for path in PLACE.rglob("*") if path.is_file()}
    assert there == set(files)
    for name, data in files.items():
        assert (PLACE / name).read_bytes() == data, name


def test_no_message_of_the_golden_ones_has_lost_a_field() -> None:
    found: dict[str, set[str]] = {}
    for path in (PLACE / "server").iterdir():
        kind, data = read(path.name)
        found.setdefault(kind, set()).update(data)
    assert found.keys() == SERVER_FIELDS.keys()
    for kind, fields in found.items():
        assert fields <= set(SERVER_FIELDS[kind]), kind
    kinds = {json.loads(path.read_bytes())[0] for path in (PLACE / "client").iterdir()}
    assert kinds == CLIENT_FIELDS.keys()


@pytest.mark.parametrize("name", ["steps.json", "steps.msgpack"])
def test_python_reads_every_column_exactly(name: str) -> None:
    kind, data = read(name)
    assert (kind, data["epoch"], data["from"], data["count"]) == ("steps", INDEX["epoch"], 0, 3)
    assert data["columns"].keys() == INDEX["columns"].keys()
    for column, values in INDEX["columns"].items():
        came = read_column(data["columns"][column])
        if data["columns"][column]["dtype"] == "json":
            assert came == [{"at": 3, "view": [0.5, None]}, "text é", None]
            continue
        wanted = np.array([float(v) if isinstance(v, str) else v for v in values], came.dtype)
        np.testing.assert_array_equal(came, wanted)
    rows = list(read_steps(data))
    assert [(row.episode, row.step, row.reward) for row in rows] == [
        (4, 0, -1.0), (4, 1, 0.0), (4, 2, 20.0),
    ]  # fmt: skip
    assert rows[1].channels["q_values"].tolist() == [0.5, 0.625, 0.75, 0.875]


@pytest.mark.parametrize("name", ["qtable.json", "qtable.msgpack"])
def test_python_reads_a_q_table_exactly(name: str, tmp_path: Path) -> None:
    kind, data = read(name)
    assert (kind, data["run"], data["episode"], data["step"]) == ("qtable", "golden", 4, 12)
    came = {column: read_column(values) for column, values in data["columns"].items()}
    copy = shutil.copytree(GOLDEN / "version-1", tmp_path / "golden")
    with open_run(copy) as run:
        table = run.q_table(2, episode=4)
    assert came.keys() == {"q_values", "exact", "visits"}
    np.testing.assert_array_equal(came["q_values"], table.values)
    np.testing.assert_array_equal(came["exact"], table.exact)
    np.testing.assert_array_equal(came["visits"], table.visits)
    assert came["visits"].dtype == np.int64


def test_python_reads_what_is_told_of_a_run_and_of_trainings() -> None:
    run = read("run.json")[1]
    assert (run["episodes"], run["steps"], run["best_return"]) == (70, 210, 253.75)
    assert run["channels"][0] == {"name": "q_values", "dtype": "float64", "shape": [4]}
    states = {
        name: read(f"{name}.json")[1]["state"]
        for name in (
            "training_started", "training_update", "training", "training_complete",
            "training_stopped", "training_stopped-failed",
        )
    }  # fmt: skip
    assert [*states.values()] == ["running", "paused", "paused", "ended", "ended", "failed"]
    assert read("training_update.json")[1]["figures"]["success_rate"] is None
    assert read("training_complete.json")[1]["outcome"] == "complete"
    assert read("training_stopped.json")[1]["problem"] is None
    assert read("training_stopped-failed.json")[1]["log"] == ["the last words"]
    assert read("training_warning.json")[1]["message"] == "the disk is nearly full"
    for kind in ("qtable_saved", "qtable_loaded"):
        assert read(f"{kind}.json")[1]["name"] == "good"
    assert read("checkpoint_mode.json")[1]["checkpoint"]["trained"] == 40
    assert read("checkpoint_mode-waiting.json")[1]["checkpoint"] is None


def test_python_reads_the_others() -> None:
    assert read_end(read("episode_end.json")[1]) == EpisodeEnd(4, 3, 19.0, True, False, False, 10)
    gap = read_gap(read("gap.json")[1])
    assert (gap.reason, gap.from_episode, gap.to_episode, gap.episodes) == ("skipped", 5, 8, 4)
    part = read_gap(read("gap-part.json")[1])
    assert (part.from_episode, part.from_step, part.to_step) == (4, 16384, 32767)
    assert read("metrics.json")[1]["return_100"] is None
    assert read("state-max.json")[1]["speed"] == "max"
    assert read("episode_start-running.json")[1]["length"] is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("open.json", Open("golden", 4, 2, None, True, 2.5, 1)),
        ("open-live.json", Open(live=True)),
        ("control.json", Control(True, MAX, Seek(0, 4), False, "episode", False, "a")),
        ("control-live.json", Control(live=True)),
        ("step.json", Step(-1)),
        ("ping.json", Ping(1.5, 2)),
        ("open-list.json", Open("golden", autoplay=Autoplay("not success", "", "best", 10))),
        ("control-loop.json", Control(loop=(3, 12), speed=0.5)),
        ("qtable.json", QTableAt("golden", 4, 2, 5)),
        (
            "start_training.json",
            TrainingRequest(
                "start_training",
                {
                    "parameters": {"env": "GridWorld-v0", "learning_rate": 0.5, "name": "golden"},
                    "preset": "balanced",
                    "load": {"run": "old", "name": "final"},
                },
                6,
            ),
        ),
        *(
            (f"{kind}.json", TrainingRequest(kind, {"training": "t1", **fields}, id))
            for kind, fields, id in TRAINING
        ),
    ],
)
def test_the_server_reads_what_clients_wrote(name: str, meant: object) -> None:
    assert parse((PLACE / "client" / name).read_bytes()) == meant
