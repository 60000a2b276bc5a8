"""The picture of one playback in a terminal: follows its events, and knows its keys. Pure.

Where the output is no terminal, the same events are a line each.
"""

from __future__ import annotations

from typing import Final

from replay_server.client_events import (
    Data,
    EpisodeEnd,
    EpisodeStart,
    Event,
    Gap,
    Report,
    Step,
)
from replay_server.terminal import action_name, channel_lines, draw_observation, plain_text

KEYS: Final = "space pause   <- -> step   - + speed   q quit"
SPEEDS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1000.0)


class Screen:
    """What is known of a playback, and how it looks.

    Args:
        run: the run's facts; its `presentation` says how it is drawn.
    """

    def __init__(self, run: Data | None = None) -> None:
        self.run: Data = run or {}
        self.state: Data = {}
        self._metrics: Data = {}
        self._episode: EpisodeStart | None = None
        self._step: Step | None = None
        self._end: EpisodeEnd | None = None
        self._return: float | None = None
        self._note = ""
        self._told_gap = False  # since the episode shown began

    def take(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, Step):
            self._take_step(event)
        elif isinstance(event, EpisodeStart):
            if self._episode is None or self._episode.episode != event.episode:
                self._step = self._end = None
                self._note = self._note if self._told_gap else ""
            self._episode, self._told_gap = event, False
        elif isinstance(event, EpisodeEnd):
            self._end = event
        elif isinstance(event, Gap):
            self._note, self._told_gap = gap_line(event), True
        elif isinstance(event, Report):
            self._take_report(event)

    def _take_step(self, step: Step) -> None:
        before, self._step, self._end = self._step, step, None
        if step.step == 0:
            self._return = step.reward
        elif before is not None and before.step + 1 == step.step and self._return is not None:
            self._return += step.reward
        else:
            self._return = None  # begun in the middle, or gone elsewhere

    def _take_report(self, report: Report) -> None:
        if report.kind == "run":
            self.run = report.data
        elif report.kind == "state":
            self.state = report.data
        elif report.kind == "metrics":
            self._metrics = report.data
        elif report.kind == "error":
            self._note = plain_text(report.data["message"])

    @property
    def ready(self) -> bool:
        """Whether there is a picture, or will be none for now."""
        return self._step is not None or self.state.get("status") in ("waiting", "ended")

    def lines(self) -> list[str]:
        """The picture now."""
        presentation = self.run.get("presentation", {})
        lines = [self._headline(), ""]
        observation = self._step.observation if self._step is not None else None
        if self._end is not None and self._end.final_observation is not None:
            observation = self._end.final_observation
        if self._step is not None or self._end is not None:
            lines += draw_observation(presentation, observation)
        lines.append("")
        if self._end is not None:
            lines.append(end_line(self._end))
        elif self._step is not None:
            action = action_name(presentation, self._step.action, self.run.get("action_space"))
            known = "" if self._return is None else f"   return {self._return:.6g}"
            lines.append(f"action {action}   reward {self._step.reward:.6g}{known}")
            lines += channel_lines(presentation, self._step.channels)
        if self._metrics.get("recording"):
            lines.append(metrics_line(self._metrics))
        lines += [self._note] if self._note else []
        return lines

    def _headline(self) -> str:
        state = self.state
        words = [plain_text(str(self.run.get("name") or self.run.get("run") or ""))]
        if self._episode is not None:
            words.append(f"episode {self._episode.episode}")
        if self._step is not None:
            step = self._step.step
            if self._end is not None:
                step = self._end.length
            length = state.get("length")
            words.append(f"step {step}" + ("" if length is None else f" of {length}"))
        if state and not state.get("live"):
            words.append(f"speed {state['speed']:g}" if state["speed"] != "max" else "speed max")
        words.append(state.get("status", "connecting"))
        return "   ".join(words)

    def faster(self, by: int) -> float:
        """The next speed in a direction, +1 or -1."""
        now = self.state.get("speed", 1.0)
        now = SPEEDS[-1] if now == "max" else float(now)
        nearest = min(range(len(SPEEDS)), key=lambda index: abs(SPEEDS[index] - now))
        return SPEEDS[min(max(0, nearest + by), len(SPEEDS) - 1)]


def event_line(event: Event, presentation: Data, space: Data | None = None) -> str | None:
    """One event as a line of text; None for those that only matter to a picture."""
    if isinstance(event, Step):
        observation = event.observation
        seen = "" if isinstance(observation, str) else f"  at {observation}"
        action = action_name(presentation, event.action, space)
        return f"episode {event.episode}  step {event.step}{seen}  {action}  {event.reward:.6g}"
    if isinstance(event, EpisodeEnd):
        return f"episode {event.episode}  {end_line(event)}"
    return gap_line(event) if isinstance(event, Gap) else None


def end_line(end: EpisodeEnd) -> str:
    """How an episode ended."""
    how = "terminated" if end.terminated else "truncated" if end.truncated else "incomplete"
    return f"{how} after {end.length} steps, return {end.episode_return:.6g}"


def gap_line(gap: Gap) -> str:
    """What is not shown, and why."""
    why = {
        "skipped": "passed by",
        "not_kept": "not kept by the recording policy",
        "damaged": "damaged",
    }.get(gap.reason, gap.reason)
    if gap.from_step is not None:
        return f"(episode {gap.from_episode}, steps {gap.from_step} to {gap.to_step}: {why})"
    if gap.episodes == 1:
        return f"(episode {gap.from_episode}: {why})"
    return f"(episodes {gap.from_episode} to {gap.to_episode}, {gap.episodes} of them: {why})"


def metrics_line(metrics: Data) -> str:
    """A live run's numbers."""
    mean = metrics["return_100"]
    return (
        f"{metrics['episodes']:,} episodes, {metrics['steps']:,} steps"
        f"   {metrics['episodes_per_s']:,.0f} episodes/s"
        + ("" if mean is None else f"   mean return {mean:.4g}")
        + (f"   lost {metrics['lost']}" if metrics["lost"] else "")
    )
