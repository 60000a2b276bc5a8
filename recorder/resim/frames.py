"""An episode's pictures, drawn by its environment while it is played again. Worker's side."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from recorder.bulk import load_episodes
from recorder.errors import SimulationError
from recorder.resim.making import CannotMake
from recorder.resim.plan import Turn, turns
from recorder.resim.play import Difference
from recorder.resim.studio import Studio, rows_of
from recorder.run import Run
from recorder.selection import Selection

_TELL = 20


def draw(run: Run, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Write `000000.png`, ... into `job["out"]`, one a position; yield how far it is.

    Raises:
        SimulationError: the episode goes another way, is too long, or draws nothing.
        CannotMake: see `make_again`.
    """
    number, most = int(job["episode"]), int(job["most"])
    summary = run.episode(number)
    run.steps(number, 0, 0)  # says so if its steps were not kept
    if summary.length + 1 > most:
        raise SimulationError(
            f"expected an episode of at most {most - 1:,} steps to draw, got one of "
            f"{summary.length:,}"
        )
    studio = Studio(run, job["modules"], render=True)
    plan = turns(rows_of(run, number), {number})
    # Alone first: many environments need no generator.
    shots = [[Turn(number, plan[-1].lane, True, plan[-1].unknown)]]
    if len(plan) > 1:
        shots.append(plan)
    difference: Difference | None = None
    for turns_of_shot in shots:
        for lane in {turn.lane for turn in turns_of_shot}:
            studio.renew(lane)
        camera = _Camera(Path(job["out"]))
        difference = yield from _play(studio, turns_of_shot, camera, number)
        if difference is None and camera.count == summary.length + 1:
            yield {"drawn": camera.count, "size": camera.size, "whole": True}
            return
    raise SimulationError(_refusal(number, difference, plan[-1].unknown))


def _play(
    studio: Studio, plan: list[Turn], camera: _Camera, number: int
) -> Generator[dict[str, Any], None, Difference | None]:
    lanes = {turn.episode: turn.lane for turn in plan}
    difference: Difference | None = None
    for episode in load_episodes(studio.run, Selection.of(lanes)):
        this = int(episode.episode or 0)
        player = studio.player(lanes[this])
        camera.env = player.env if this == number else None
        player.look = camera.shoot
        try:
            for seed in studio.resets(this):
                player.env.reset(seed=seed, options=studio.options(this))
            difference, _ = player.play(episode, episode.seed, studio.options(this))
        except (SimulationError, CannotMake):
            raise
        except Exception as error:  # whatever somebody else's code raises
            raise SimulationError(
                f"expected {studio.run.info.env_id} to draw episode {number}, got "
                f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            ) from error
        yield {"drawn": camera.count}
    return difference


class _Camera:
    """Keeps the pictures of one episode.

    Args:
        folder: where.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.env: Any = None
        self.count = 0
        self.size: list[int] = []

    def shoot(self, position: int) -> None:
        """Called at each position of every episode that is played."""
        if self.env is None:
            return
        from PIL import Image

        from recorder.drawing import as_rgb

        picture = self.env.render()
        if not isinstance(picture, np.ndarray) or picture.ndim != 3:
            raise SimulationError(
                f"expected a picture from render(), got {type(picture).__name__}; this "
                "environment does not draw with render_mode='rgb_array'"
            )
        picture = as_rgb(picture)
        self.size = [picture.shape[1], picture.shape[0]]
        Image.fromarray(picture).save(self._folder / f"{position:06}.png", compress_level=1)
        self.count = position + 1


def _refusal(number: int, difference: Difference | None, unknown: str) -> str:
    if unknown:
        return (
            f"expected episode {number} to go as it was recorded, got another way: {unknown}; "
            "no pictures are made of what did not happen"
        )
    if difference is None:
        return f"expected a picture for each step of episode {number}, got fewer"
    return (
        f"expected episode {number} to go as it was recorded, got another way at step "
        f"{difference.step}: {difference.what} {difference.recorded} recorded, "
        f"{difference.simulated} now; no pictures are made of what did not happen"
    )
