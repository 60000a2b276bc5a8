"""The data of server messages, built from what the tape gives. Pure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from recorder import EpisodeSummary, RecorderError, Steps
from replay_server.encoding import Frame, column, control_frame, speed_value
from replay_server.playhead import Playhead, Status
from replay_server.protocol import Autoplay, Loop, MessageId

Data = dict[str, Any]


def episode_row(summary: EpisodeSummary) -> Data:
    """An episode as the HTTP routes give it."""
    return {
        "episode": summary.episode,
        "first_step": summary.first_step,
        "length": summary.length,
        "episode_return": summary.episode_return,
        "terminated": summary.terminated,
        "truncated": summary.truncated,
        "incomplete": summary.incomplete,
        "epsilon": summary.epsilon,
        "seed": summary.seed,
        "stage": summary.stage,
        "started_at": summary.started_at,
        "duration_s": summary.duration_s,
        "kept": summary.kept,
        "reason": summary.reason,
        "running": summary.running,
        "tags": summary.tags,
        "note": summary.note,
    }


def episode_start(summary: EpisodeSummary, first: int, return_before: float) -> Frame:
    """Announces an episode, of which rows from `first` on will follow."""
    data: Data = {
        "episode": summary.episode,
        "length": None if summary.running else summary.length,
        "first_step": summary.first_step,
        "seed": summary.seed,
        "epsilon": summary.epsilon,
        "stage": summary.stage,
        "started_at": summary.started_at,
        "from": first,
        "return_before": return_before,
    }
    if not summary.running:
        data |= _ending(summary)
    return control_frame("episode_start", data)


def episode_end(summary: EpisodeSummary, last: Steps) -> Frame:
    """Tells how an episode ended; `last` are rows that reach its end."""
    return control_frame(
        "episode_end",
        {
            "episode": summary.episode,
            "length": summary.length,
            **_ending(summary),
            "final_observation": final_observation(last),
        },
    )


def final_observation(last: Steps) -> Data | None:
    """The observation after the last step, as a column of one row in JSON form."""
    if last.final_observation is None:
        return None
    dtype = last.columns["observation"].dtype
    if dtype.hasobject:
        row = np.empty(1, dtype=object)
        row[0] = last.final_observation
    else:
        row = np.asarray([last.final_observation], dtype=dtype)
    return column(row, binary=False)


def gap(reason: str, first: int, last: int, steps: tuple[int, int] | None = None) -> Frame:
    """Tells what is not shown: episodes `first` to `last`, both included; or, of one that is
    shown, the `steps` from the first to the last of these, both included."""
    data: Data = {"reason": reason, "from_episode": first, "to_episode": last}
    data["episodes"] = last - first + 1
    if steps is not None:
        data |= {"from_step": steps[0], "to_step": steps[1]}
    return control_frame("gap", data)


def state(
    playhead: Playhead,
    place: Playhead,
    *,
    id: MessageId,
    epoch: int,
    run: str,
    status: Status,
    live: bool,
    placed: bool,
    finished: int,
    clamped: bool = False,
) -> Data:
    """Where a viewer is, and what it set.

    Args:
        playhead: the viewer's own; has its settings.
        place: the playhead it is shown, its own or that of a live channel.
        id: of the message that this answers.
        epoch: the connection's.
        run: id of the run.
        status: what to call it.
        live: whether it follows.
        placed: False before the run has an episode.
        finished: the number of episodes that have ended.
        clamped: whether this answers a seek to a place that there is not.
    """
    data: Data = {} if id is None else {"id": id}
    if clamped:
        data["clamped"] = True
    autoplay = playhead.autoplay
    return data | {
        "epoch": epoch,
        "run": run,
        "status": status,
        "playing": live or playhead.playing,
        "live": live,
        "episode": place.episode if placed else None,
        "step": max(0, place.step) if placed else 0,
        "length": place.length if placed else None,
        "speed": speed_value(1.0 if live else playhead.speed),
        "loop": loop_value(playhead.loop),
        "autoplay": autoplay.as_json() if isinstance(autoplay, Autoplay) else autoplay,
        "behind": max(0, finished - 1 - place.episode) if placed else 0,
    }


def loop_value(loop: Loop) -> str | Data:
    """A loop as messages spell it."""
    return loop if isinstance(loop, str) else {"from": loop[0], "to": loop[1]}


def error(code: str, message: str, id: MessageId = None, position: int | None = None) -> Data:
    """Why a message was not obeyed; `position` is where a filter could not be read."""
    data: Data = {} if id is None else {"id": id}
    data |= {"code": code, "message": message}
    return data if position is None else data | {"position": position}


def without_place(text: str, runs_dir: Path) -> str:
    """`text` with files of the runs directory named from there on.

    >>> without_place("got /home/ann/runs/easy/run.db", Path("/home/ann/runs"))
    'got easy/run.db'
    >>> without_place("expected a run in /home/ann/runs, got none", Path("/home/ann/runs"))
    "expected a run in the server's runs directory, got none"
    """
    if len(runs_dir.parts) < 2:  # a plain `runs`, or the root: they tell no place
        return text
    place = re.escape(str(runs_dir))
    text = re.sub(rf"(?<![\w/.-]){place}/(?=[\w.-])", "", text)
    return re.sub(rf"(?<![\w/.-]){place}/?(?![\w/-])", "the server's runs directory", text)


def without_paths(text: str) -> str:
    """`text` of another program with absolute paths cut down to their last names.

    >>> without_paths("can't open file '/home/ann/reel/train.py': see http://localhost/help")
    "can't open file 'train.py': see http://localhost/help"
    """
    return re.sub(r"(?<![\w/.:~-])~?/(?:[^\s/'\"]+/)*([^\s/'\"]+)/?", r"\1", text)


def error_code(fault: RecorderError) -> str:
    """The protocol's word for an error of the tape."""
    code = fault.code
    if code in ("unknown_run", "unknown_episode", "no_qtable", "bad_field"):
        return code
    if code in ("not_a_run", "newer_schema", "bad_runs_dir"):
        return "unknown_run"
    return "damaged" if code == "damaged" else "internal"


def _ending(summary: EpisodeSummary) -> Data:
    return {
        "episode_return": summary.episode_return,
        "terminated": summary.terminated,
        "truncated": summary.truncated,
        "incomplete": summary.incomplete,
    }
