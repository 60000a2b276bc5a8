"""`verify_run`: are a run's episodes what its environment does with these seeds and actions?"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recorder.errors import ListingError, SimulationError
from recorder.pages import pages
from recorder.resim.child import answers
from recorder.resim.results import (
    Verification,
    ranges_of,
    read_verification,
    write_verification,
)
from recorder.run import open_run
from recorder.selection import EVERYTHING, Selection

TIMEOUT_S = 120.0


@dataclass
class Report:
    """What `verify_run` found.

    Attributes:
        run_id: of which run.
        answers: `{"episode", "status", ...}` of each episode that was tried.
        not_tried: episodes that were selected and whose steps were not kept.
        fault: why not all could be tried, or "".
        stored: whether it stands beside the tape now.
    """

    run_id: str
    answers: list[dict[str, Any]] = field(default_factory=list)
    not_tried: int = 0
    fault: str = ""
    stored: bool = True

    def counts(self) -> dict[str, int]:
        """How many episodes by status."""
        counts = dict.fromkeys(("verified", "diverged", "not_verifiable"), 0)
        for answer in self.answers:
            counts[answer["status"]] += 1
        return counts


def verify_run(
    run_dir: str | Path,
    selection: Selection = EVERYTHING,
    *,
    sample: int | None = None,
    modules: Iterable[str] = (),
    timeout_s: float = TIMEOUT_S,
    progress: Callable[[int, int], object] | None = None,
) -> Report:
    """Play episodes again and hold them against the tape; keep what was found beside it.

    Observations, rewards and ends are compared to the last bit. An episode whose reset had no
    seed is reached by playing those before it. Where that way is broken (steps not kept, a run
    taken up again) it is tried all the same, and a difference then means `not_verifiable`.

    Args:
        run_dir: the run's directory. Only `verified.json` in it is written.
        selection: which episodes; those whose steps were not kept cannot be tried.
        sample: as many of them, drawn at random but the same each time.
        modules: names of modules that register environments.
        timeout_s: most seconds for one episode, and for making the environment.
        progress: called with how many were tried, and of how many.

    Raises:
        SimulationError: the environment cannot be made, or there is nothing to verify.
        RunNotFound, NotARun, NewerSchema, DamagedTape: see `open_run`.
    """
    path = Path(run_dir)
    if sample is not None and sample < 1:
        raise ListingError(f"expected a sample of at least one episode, got {sample}")
    with open_run(path) as run:
        numbers = [row[0] for page in pages(run, selection, "episode", 8192) for row in page]
        recording = run.is_recording()
        missing = sum(
            run._rows(f"SELECT count(*) FROM episodes WHERE kept = 0 AND ({where})", values)[0][0]
            for where, values in selection.clauses(recording)
        )
        run_id = run.run_id
    if not numbers:
        raise SimulationError(
            f"expected an episode of run {run_id!r} with its steps to verify, got none"
            + (f" ({missing:,} are without theirs)" if missing else "")
            + "; select others"
        )
    if sample is not None and sample < len(numbers):
        numbers = sorted(random.Random(0).sample(numbers, sample))
    report = Report(run_id, not_tried=missing)
    job = {
        "task": "verify",
        "run": str(path.resolve()),
        "ranges": ranges_of(numbers),
        "modules": list(modules),
    }
    try:
        for answer in answers(job, timeout_s):
            report.answers.append(answer)
            if progress is not None:
                progress(len(report.answers), len(numbers))
    except SimulationError as error:
        if not report.answers:
            raise SimulationError(
                f"expected to play episodes of run {run_id!r} again, but {error}"
            ) from error
        report.fault = str(error)
    report.answers.sort(key=lambda answer: answer["episode"])
    found: Verification = read_verification(path).with_answers(report.answers, time.time())
    try:
        write_verification(path, found)
    except OSError:
        report.stored = False
    return report
