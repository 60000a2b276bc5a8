"""What a check of a run found: where, and what is wrong there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

FINDINGS_MAX = 1000


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written.

    Attributes:
        place: the table and the row: `segments 16384`, `episodes 12`, `file`.
        text: what is wrong with it.
    """

    place: str
    text: str


@dataclass
class Report:
    """What `check_run` found.

    Attributes:
        run_id: the run.
        episodes: rows of episodes looked at.
        steps: steps in segments that are whole, rows that hold the place of others in the
            middle of a segment counted in.
        segments: segments looked at.
        recorded_steps: steps of the episodes, kept or not.
        kept_episodes: those whose steps were kept: all, where there is no policy and no quota.
        kept_steps: theirs.
        lost_steps: steps that gaps on the timeline own up to; these are no findings.
        findings: in the order they were found, `FINDINGS_MAX` at most.
    """

    run_id: str
    episodes: int = 0
    steps: int = 0
    segments: int = 0
    recorded_steps: int = 0
    kept_episodes: int = 0
    kept_steps: int = 0
    lost_steps: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def add(self, place: str, text: str) -> None:
        """Note a finding."""
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(place, text))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "clean": self.clean}
