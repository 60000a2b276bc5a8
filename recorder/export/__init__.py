"""A run's episodes as files that other programs read, one module a format.

    from recorder import open_run
    from recorder.export import export_run

    export_run(open_run("runs/cartpole-v1"), "parquet", "out")

A format's module, and what it needs, is imported when the format is asked for. What is
written stands under its final name only when it is whole (`recorder.export.target`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from recorder.errors import ExportError
from recorder.export.target import aside, check_free
from recorder.selection import EVERYTHING, Selection

if TYPE_CHECKING:
    from recorder.run import Run


@dataclass(frozen=True)
class Options:
    """What some formats may be told.

    Attributes:
        fps: of a video: pictures a second. None: as the run's presentation says.
        speed: of a video or a page: times that rate.
        theme: `light` or `dark`.
        each: a file for each episode, in a directory (`npz`, `mp4`, `gif`).
        size: of a video drawn by Reel: pixels of the longer side.
    """

    fps: float | None = None
    speed: float = 1.0
    theme: str = "light"
    each: bool = False
    size: int = 480


@dataclass
class Written:
    """What an export wrote.

    Attributes:
        path: where.
        episodes: how many.
        steps: of all of them.
        left_out: episodes that were selected and are not in it, by the reason.
        note: how to open it, where that is not plain.
    """

    path: Path
    episodes: int = 0
    steps: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    note: str = ""

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count episodes that are not in it."""
        if count:
            self.left_out[reason] = self.left_out.get(reason, 0) + count


class Format(Protocol):
    """What a module of a format offers."""

    def is_directory(self, options: Options) -> bool:
        """Whether it writes a directory."""

    def check(self, run: Run, out: Path, options: Options) -> None:
        """Refuse, before anything is written, what the format cannot hold."""

    def write(
        self, run: Run, selection: Selection, out: Path, options: Options, result: Written
    ) -> None:
        """Write to `out`, a name beside the final one."""


FORMATS = {
    "parquet": "recorder.export.parquet",
    "minari": "recorder.export.minari",
    "csv": "recorder.export.monitor",
    "npz": "recorder.export.npz",
    "jsonl": "recorder.export.jsonl",
    "mp4": "recorder.export.mp4",
    "gif": "recorder.export.gif",
    "html": "recorder.export.html",
}
SUFFIXES = {".csv": "csv", ".npz": "npz", ".jsonl": "jsonl", ".mp4": "mp4", ".gif": "gif",
            ".html": "html", ".htm": "html"}  # fmt: skip


def export_run(
    run: Run,
    format: str,
    out: str | Path,
    *,
    selection: Selection = EVERYTHING,
    force: bool = False,
    **options: Any,
) -> Written:
    """Export episodes of a run.

    Args:
        run: open for reading. Where it still records, the running episode is left out.
        format: one of `FORMATS`.
        out: the file or directory to write. It stands there only when it is whole.
        selection: which episodes; those whose steps were not kept are left out.
        force: replace a file that stands there, or a directory that an export made.
        **options: see `Options`.

    Raises:
        OutputExists: something stands there.
        MissingExtra: a package of an extra is not installed.
        ExportError: the run cannot be written in this format, or no episode is selected.
        DamagedTape: bytes on the tape are not what was written.
    """
    if format not in FORMATS:
        raise ExportError(f"expected a format of {', '.join(FORMATS)}, got {format!r}")
    given = Options(**options)
    _check_options(given)
    path = Path(out)
    module: Format = import_module(FORMATS[format])
    directory = module.is_directory(given)
    check_free(path, force, directory)
    module.check(run, path, given)
    result = Written(path)
    if format != "csv":  # which holds what is known without steps
        result.leave_out("steps not kept", without_steps(run, selection))
    with aside(path, force, directory) as temporary:
        module.write(run, selection, temporary, given, result)
        if not result.episodes:
            raise ExportError(
                f"expected at least one episode to export, got none of run {run.run_id!r}"
                + _why(result)
                + "; select others"
            )
    return result


def _why(result: Written) -> str:
    left = ", ".join(f"{count:,} left out: {why}" for why, count in result.left_out.items())
    return f" ({left})" if left else ""


def without_steps(run: Run, selection: Selection) -> int:
    """Return how many selected episodes have no steps on the tape."""
    count = 0
    for where, values in selection.clauses(run.is_recording()):
        count += run._rows(f"SELECT count(*) FROM episodes WHERE kept = 0 AND ({where})", values)[
            0
        ][0]
    return count


def _check_options(options: Options) -> None:
    if options.theme not in ("light", "dark"):
        raise ExportError(f"expected light or dark as theme, got {options.theme!r}")
    for name, least, most in (("fps", 0.1, 240.0), ("speed", 0.01, 1000.0), ("size", 64, 4096)):
        value = getattr(options, name)
        if value is not None and not least <= value <= most:
            raise ExportError(f"expected {name} from {least:g} to {most:g}, got {value!r}")
