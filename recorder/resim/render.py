"""Pictures of an episode that recorded none: its environment draws them, played again.

They are kept as PNG files in the user's cache directory, one folder an episode, made whole or
not at all; the oldest go when they take more than `CACHE_BYTES`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recorder.errors import ExportError
from recorder.export import gif, mp4
from recorder.export.target import aside, check_free
from recorder.export.values import need
from recorder.resim.child import answers
from recorder.resim.verify import TIMEOUT_S
from recorder.run import Run, open_run

if TYPE_CHECKING:
    import numpy as np

CACHE_BYTES = 1 << 30
MOST = 100_000
_DONE = "frames.json"
_LAST_S = 0.6


def cache_dir() -> Path:
    """Where pictures are kept: `$XDG_CACHE_HOME/reel/frames`, by default under `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "reel" / "frames"


def frames_of(
    run_dir: str | Path,
    episode: int,
    *,
    modules: Iterable[str] = (),
    timeout_s: float = TIMEOUT_S,
    total_s: float = float("inf"),
    most: int = MOST,
    stopped: Callable[[], bool] = bool,
) -> list[Path]:
    """Return an episode's pictures, one for each of its T + 1 positions.

    Args:
        run_dir: the run's directory, which is only read.
        episode: its number.
        modules: names of modules that register environments.
        timeout_s: most seconds without progress.
        total_s: most seconds in all.
        most: most pictures.
        stopped: asked now and then; where it is true, this ends.

    Raises:
        SimulationError: the environment cannot be made, draws nothing, or the episode goes
            another way than was recorded.
        MissingExtra: Pillow is not installed.
        EpisodeNotFound, StepsNotKept, DamagedTape: see `Run.steps`.
    """
    need("PIL.Image", "video")
    path = Path(run_dir)
    with open_run(path) as run:
        folder = cache_dir() / _key(path, run, episode)
        found = _kept(folder)
        if found:
            with suppress(OSError):
                os.utime(folder)
            return found
        run.steps(episode, 0, 0)
    work = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.part")
    work.mkdir(parents=True)
    try:
        job = {
            "task": "draw", "run": str(path.resolve()), "episode": episode,
            "modules": list(modules), "out": str(work), "most": most,
        }  # fmt: skip
        last: dict[str, Any] = {}
        for answer in answers(job, timeout_s, total_s, stopped):
            last = answer
        (work / _DONE).write_text(json.dumps({"count": last["drawn"], "size": last["size"]}))
        with suppress(OSError):  # another process was faster
            work.rename(folder)
        _trim(folder)
        return _kept(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def render_episode(
    run_dir: str | Path,
    episode: int,
    out: str | Path,
    *,
    force: bool = False,
    fps: float | None = None,
    speed: float = 1.0,
    step: int | None = None,
    modules: Iterable[str] = (),
    timeout_s: float = TIMEOUT_S,
) -> int:
    """Write an episode's pictures as MP4 or GIF, or one of them as PNG; return how many.

    Args:
        run_dir: the run's directory.
        episode: its number.
        out: the file; its ending says what it is.
        force: replace one that stands there.
        fps: pictures a second; as the environment's presentation says where None.
        speed: times that.
        step: which picture, of a PNG; the last where None.
        modules: names of modules that register environments.
        timeout_s: most seconds without progress.

    Raises:
        OutputExists, ExportError, MissingExtra: see `export_run`.
        SimulationError, ...: see `frames_of`.
    """
    path = Path(out)
    kind = path.suffix.lower()
    makers: dict[str, Any] = {".mp4": mp4.Video, ".gif": gif.Animation}
    if kind not in (*makers, ".png"):
        raise ExportError(f"expected an output ending in .mp4, .gif or .png, got {path.name!r}")
    check_free(path, force, directory=False)
    if kind == ".mp4":
        need("av", "video")
    pictures = frames_of(run_dir, episode, modules=modules, timeout_s=timeout_s)
    with aside(path, force, directory=False) as temporary:
        if kind == ".png":
            place = len(pictures) - 1 if step is None else step
            if not 0 <= place < len(pictures):
                raise ExportError(f"expected a step from 0 to {len(pictures) - 1}, got {step}")
            shutil.copyfile(pictures[place], temporary)
            return 1
        rate = _rate(run_dir, fps) * speed
        with makers[kind](temporary, rate) as video:
            for picture in _read(pictures):
                video.add(picture)
            for _ in range(max(1, round(_LAST_S * rate)) - 1):
                video.add(picture)
    return len(pictures)


def _rate(run_dir: str | Path, fps: float | None) -> float:
    if fps is not None:
        return fps
    with open_run(run_dir) as run:
        told = run.info.presentation.get("steps_per_second")
    return float(told) if isinstance(told, (int, float)) and 0 < told <= 240 else 10.0


def _read(pictures: Iterable[Path]) -> Iterator[np.ndarray[Any, Any]]:
    import numpy as np
    from PIL import Image

    for picture in pictures:
        with Image.open(picture) as image:
            yield np.asarray(image.convert("RGB"))


def _key(path: Path, run: Run, episode: int) -> str:
    info = run.info
    told = f"{path.resolve()}\n{info.run_id}\n{info.created_at!r}"
    return f"{hashlib.sha256(told.encode()).hexdigest()[:20]}-{episode}"


def _kept(folder: Path) -> list[Path]:
    try:
        count = int(json.loads((folder / _DONE).read_text())["count"])
    except (OSError, ValueError, TypeError, KeyError):
        return []
    return [folder / f"{position:06}.png" for position in range(count)]


def _trim(newest: Path) -> None:
    """Let the oldest folders go, so that what is left takes at most `CACHE_BYTES`."""
    folders = []
    for folder in newest.parent.iterdir():
        with suppress(OSError):
            if folder.is_dir() and not folder.name.endswith(".part"):
                size = sum(file.stat().st_size for file in folder.iterdir())
                folders.append((folder.stat().st_mtime, size, folder))
    total = 0
    for _, size, folder in sorted(folders, reverse=True):
        total += size
        if total > CACHE_BYTES and folder != newest:
            shutil.rmtree(folder, ignore_errors=True)
