"""The pictures of recorded episodes, for videos: recorded ones, or Reel's drawing of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recorder.bulk import load_episodes
from recorder.errors import ExportError
from recorder.export import Options
from recorder.export.values import Array, need
from recorder.selection import Selection

if TYPE_CHECKING:
    from recorder.episode import Episode
    from recorder.run import Run

HOLD_S = 0.6
"""How long an episode's last picture stays."""
_RATE = 10.0


def check(run: Run) -> None:
    """Refuse what cannot be drawn, and say which extra is missing."""
    need("PIL.Image", "video")


def rate_of(run: Run, options: Options) -> float:
    """Pictures a second."""
    told = run.info.presentation.get("steps_per_second")
    usual = float(told) if isinstance(told, (int, float)) and 0 < told <= 240 else _RATE
    return (options.fps or usual) * options.speed


def pictures_of(run: Run, episode: Episode, options: Options) -> Iterator[Array]:
    """Yield a picture for each observation of an episode, `(H, W, 3)` uint8, sides even."""
    from recorder.drawing import Drawer, as_rgb, is_picture

    if is_picture(run.layout.observation_space):
        for frame in episode.observations:
            yield as_rgb(frame)
        return
    drawer = Drawer(run.info.presentation, options.size, options.theme, run.info.action_space)
    earned = 0.0
    count = episode.length
    for at in range(len(episode.observations)):
        head = f"episode {episode.episode:,} · step {at} of {count} · return {earned:.4g}"
        if at < count:
            foot = f"next: {drawer.action_name(episode.actions[at])}"
            earned += float(episode.rewards[at])
        else:
            foot = _ending(episode)
        yield drawer.draw(episode.observations, at, head, foot)


def _ending(episode: Episode) -> str:
    from recorder.episode import ending

    return ending(episode.terminated, episode.truncated, episode.incomplete)


def write_videos(
    run: Run, selection: Selection, out: Path, options: Options, result: Any, suffix: str,
    make: Any,
) -> None:  # fmt: skip
    """Write one video of all episodes, or one each.

    Args:
        run: the run.
        selection: which episodes.
        out: the file, or the directory where each is one.
        options: of the export.
        result: counted up.
        suffix: of the files' names where each is one.
        make: `(path, rate)` gives a context that takes pictures: `add(picture)`.
    """
    rate = rate_of(run, options)
    still = max(1, round(HOLD_S * rate))
    if options.each:
        for episode in load_episodes(run, selection):
            with make(out / f"episode-{episode.episode:06}{suffix}", rate) as video:
                _play(run, episode, options, video, 1)
            _count(result, episode)
        return
    with make(out, rate) as video:
        for episode in load_episodes(run, selection):
            _play(run, episode, options, video, still)
            _count(result, episode)


def _play(run: Run, episode: Episode, options: Options, video: Any, still: int) -> None:
    picture = None
    for picture in pictures_of(run, episode, options):
        video.add(picture)
    if picture is not None:
        for _ in range(still - 1):
            video.add(picture)


def _count(result: Any, episode: Episode) -> None:
    result.episodes += 1
    result.steps += episode.length


def same_size(first: Array, picture: Array) -> Array:
    """Return a picture if it has the first one's size.

    Raises:
        ExportError: it has not.
    """
    if picture.shape != first.shape:
        raise ExportError(
            f"expected pictures of {first.shape[1]}x{first.shape[0]}, got one of "
            f"{picture.shape[1]}x{picture.shape[0]}; export the episodes one by one (--each)"
        )
    return picture
