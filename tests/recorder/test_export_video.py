"""MP4 and GIF, read back by PyAV and Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from recorder_kit import new_recorder

from recorder import Run, open_run
from recorder.errors import ExportError
from recorder.export import export_run
from recorder.selection import Selection

Image = pytest.importorskip("PIL.Image")

GRID = {
    "kind": "grid",
    "cells": ["S.#", "..X", "..G"],
    "observation": {"divisor": 1},
    "walls": [[0, 1]],
    "labels": [{"cell": 3, "text": "R"}],
    "markers": [[{"cell": None, "kind": "passenger"}, {"cell": 3, "kind": "destination"}]],
    "steps_per_second": 10,
    "actions": [{"name": name, "vector": None} for name in ("up", "right", "down", "left")],
}
WAY = (0, 3, 4, 7, 8)


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    with new_recorder(tmp_path, run_id="grid", presentation=GRID) as recorder:
        for _ in range(2):
            for cell in WAY[:-1]:
                recorder.record_step(cell, 2, -1.0)
            recorder.finish_episode(WAY[-1], terminated=True)
    return tmp_path / "grid"


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    space = spaces.Box(0, 255, (33, 40, 3), np.uint8)
    with new_recorder(tmp_path, run_id="camera", observation_space=space) as recorder:
        for step in range(3):
            recorder.record_step(np.full(space.shape, step * 80, np.uint8), 0, 0.0)
        recorder.finish_episode(np.full(space.shape, 240, np.uint8), truncated=True)
    return tmp_path / "camera"


def decoded(path: Path) -> list[np.ndarray]:
    av = pytest.importorskip("av")
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def frames(path: Path) -> tuple[list[np.ndarray], list[int]]:
    with Image.open(path) as image:
        pictures, times = [], []
        for number in range(image.n_frames):
            image.seek(number)
            pictures.append(np.asarray(image.convert("RGB")))
            times.append(image.info["duration"])
    return pictures, times


def agent_cell(picture: np.ndarray, theme: str = "light") -> int:
    """The cell in whose middle most of the agent's colour is."""
    from recorder.drawing import THEMES

    near = np.abs(picture.astype(int) - THEMES[theme]["agent"]).sum(axis=2) < 40
    y, x = np.argwhere(near).mean(axis=0)
    board = picture.shape[0] - 68
    left = (picture.shape[1] - board) / 2
    return int((y - 34) // (board / 3)) * 3 + int((x - left) // (board / 3))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_grid_is_drawn_with_the_agent_where_it_was(theme, grid, tmp_path):
    pytest.importorskip("av")
    with open_run(grid) as run:
        export_run(run, "mp4", tmp_path / "a.mp4", selection=Selection.parse("1"), theme=theme)
    pictures = decoded(tmp_path / "a.mp4")
    assert [agent_cell(picture, theme) for picture in pictures[:5]] == list(WAY)
    assert len(pictures) == 5 + 5  # the last one stays for 0.6 s
    assert (pictures[0].mean() > 128) == (theme == "light")


def test_actions_that_do_not_begin_at_zero_have_their_own_names():
    from recorder.drawing import Drawer

    drawer = Drawer(GRID, action_space={"type": "Discrete", "n": 4, "start": 5})
    assert [drawer.action_name(np.int64(action)) for action in (5, 8, 0)] == ["up", "left", "0"]
    assert Drawer(GRID).action_name(3) == "left"


def test_a_gif_of_two_episodes_plays_both(grid, tmp_path):
    with open_run(grid) as run:
        export_run(run, "gif", tmp_path / "a.gif", fps=20)
    pictures, times = frames(tmp_path / "a.gif")
    assert set(times) == {50}
    moving = [*range(5), *range(16, 21)]
    assert [agent_cell(pictures[at]) for at in moving] == [*WAY, *WAY]


def test_a_file_for_each_episode(grid, tmp_path):
    with open_run(grid) as run:
        export_run(run, "gif", tmp_path / "out", each=True)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.gif")) == [
        "episode-000000.gif",
        "episode-000001.gif",
    ]
    assert len(frames(tmp_path / "out" / "episode-000001.gif")[0]) == 5


def test_speed_is_shown_by_the_rate(grid, tmp_path):
    av = pytest.importorskip("av")
    with open_run(grid) as run:
        export_run(run, "mp4", tmp_path / "a.mp4", speed=3.0)
        with av.open(str(tmp_path / "a.mp4")) as file:
            assert file.streams.video[0].average_rate == 30
        export_run(run, "gif", tmp_path / "a.gif", speed=10.0)  # 100 a second: every second one
    assert len(frames(tmp_path / "a.gif")[0]) == round((2 * 5 + 2 * 59) / 2)


def test_recorded_pictures_are_shown_as_they_are(camera, tmp_path):
    with open_run(camera) as run:
        export_run(run, "gif", tmp_path / "a.gif")
        assert_colours(frames(tmp_path / "a.gif")[0])
        pytest.importorskip("av")
        export_run(run, "mp4", tmp_path / "a.mp4")
        assert_colours(decoded(tmp_path / "a.mp4"))


def assert_colours(pictures: list[np.ndarray]) -> None:
    assert pictures[0].shape == (34, 40, 3)
    for step, picture in enumerate(pictures[:4]):
        assert np.abs(picture.astype(int) - step * 80).max() < 12


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-np.inf, np.inf, (4,)),
        spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Box(0, 1, (2,))}),
        spaces.Text(10),
        spaces.Box(0, 1, (500,)),
    ],
    ids=str,
)
def test_any_space_can_be_drawn(space, tmp_path):
    space.seed(0)
    with new_recorder(tmp_path, run_id="x", observation_space=space) as recorder:
        for _ in range(2):
            recorder.record_step(space.sample(), 1, 0.5)
        recorder.finish_episode(space.sample(), terminated=True)
    with open_run(tmp_path / "x") as run:
        export_run(run, "gif", tmp_path / "a.gif", size=200)
    assert len(frames(tmp_path / "a.gif")[0]) == 3 + 5


def test_what_fails_midway_leaves_nothing(grid, tmp_path, monkeypatch):
    original, calls = Run.info.fget, 0

    def failing(run: Run):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return original(run)

    monkeypatch.setattr(Run, "info", property(failing))
    with open_run(grid) as run, pytest.raises(KeyboardInterrupt):
        export_run(run, "gif", tmp_path / "a.gif")
    assert [path.name for path in tmp_path.iterdir()] == ["grid"]


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"speed": -1.0}, {"size": 5}, {"theme": "pink"}])
def test_wrong_options_are_refused(wrong, grid, tmp_path):
    with open_run(grid) as run, pytest.raises(ExportError, match=next(iter(wrong))):
        export_run(run, "gif", tmp_path / "a.gif", **wrong)
