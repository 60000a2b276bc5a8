"""What `reel train` says at its end, to people and to programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gridworld.loop import TrainingResult
from gridworld.session import Session
from recorder.hints import reel_command


def summary_of(session: Session, result: TrainingResult, seconds: float) -> dict[str, Any]:
    """What `--json` prints. `seconds` has the recording's drain and close in it."""
    recorder = session.recorder
    stats = recorder.stats if recorder is not None else None
    figures = session.measures.figures()
    return {
        "run_id": recorder.run_id if recorder is not None else None,
        "path": str(recorder.path) if recorder is not None else None,
        "episodes": result.episodes,
        "steps": result.steps,
        "seconds": round(seconds, 3),
        "mean_return_100": result.mean_return_100,
        "success_rate": figures.success_rate,
        "eval_return": figures.eval_return,
        "final_epsilon": session.agent.epsilon,
        "states_visited": len(session.visited),
        "incomplete": result.incomplete,
        "lost_episodes": stats.lost_episodes if stats is not None else 0,
        "lost_steps": stats.lost_steps if stats is not None else 0,
    }


def for_people(summary: dict[str, Any], complete: bool, episodes: int, runs_dir: Path) -> str:
    """The summary in sentences.

    Args:
        complete: whether all `episodes` were trained.
    """
    done, steps, seconds = summary["episodes"], summary["steps"], summary["seconds"]
    line = f"Trained {done:,} episodes, {steps:,} steps, in {seconds:.1f} s"
    if not complete:
        line = f"Stopped after {done:,} of {episodes:,} episodes, {steps:,} steps, {seconds:.1f} s"
    if summary["mean_return_100"] is not None:
        line += f"; mean return of the last {min(done, 100)}: {summary['mean_return_100']:.2f}"
    if summary["eval_return"] is not None:
        line += f"; greedy return: {summary['eval_return']:.2f}"
    lines = [line + "."]
    if summary["path"] is None:
        lines.append("Nothing was recorded (--no-record).")
    else:
        option = "" if runs_dir == Path("runs") else f" --runs-dir {runs_dir}"
        lines.append(f"Recorded in {summary['path']}.")
        lines.append(f"Watch it: {reel_command()} serve{option}")
    return "\n".join(lines)


def what_was_lost(summary: dict[str, Any]) -> str | None:
    """A sentence where not all could be recorded."""
    if not (summary["lost_episodes"] or summary["lost_steps"]):
        return None
    return (
        f"expected to record every step, but {summary['lost_episodes']:,} episodes and "
        f"{summary['lost_steps']:,} steps are not recorded (see the warnings above)."
    )
