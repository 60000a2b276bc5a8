"""The process in which environments are made and stepped: `python -m recorder.resim.worker`.

It is given a job as one line of JSON on standard input and answers with lines of JSON on what
was standard output; what the environment prints goes to standard error instead.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from recorder.bulk import load_episodes
from recorder.errors import RecorderError
from recorder.resim.frames import draw
from recorder.resim.making import CannotMake
from recorder.resim.plan import Turn, turns
from recorder.resim.play import DIVERGED, UNVERIFIABLE, VERIFIED, Difference
from recorder.resim.studio import Studio, rows_of
from recorder.run import Run, open_run
from recorder.selection import Selection

_OTHERS = 0.5  # part of what is to be played; where more is wanted, it is played in order

Answer = dict[str, Any]


def main() -> None:
    """Do the job."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    warnings.simplefilter("ignore")
    job = json.loads(sys.stdin.readline())
    try:
        with open_run(Path(job["run"])) as run:
            if job["task"] == "verify":
                for answer in verify(run, _numbers(job["ranges"]), job["modules"]):
                    _say(out, answer)
            else:
                for answer in draw(run, job):
                    _say(out, answer)
    except (CannotMake, RecorderError) as error:
        _say(out, {"refused": str(error)})
    _say(out, {"done": True})
    # An environment's threads, windows and exit handlers are its own affair.
    out.close()
    os._exit(0)


def _say(out: TextIO, answer: Answer) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()


def _numbers(ranges: list[list[int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


def verify(run: Run, wanted: set[int], modules: list[str]) -> Iterator[Answer]:
    """Yield `{"episode", "status", ...}` for each wanted episode that has steps."""
    studio = Studio(run, modules)
    plan = turns(rows_of(run, max(wanted, default=-1)), wanted)
    asked = [turn for turn in plan if turn.wanted]
    if len(asked) < _OTHERS * len(plan):
        # Many environments need no generator: then the way there can be spared.
        tried = dict(_played(studio, [Turn(t.episode, t.lane, True, "?") for t in asked]))
        done = {number for number, answer in tried.items() if answer["status"] == VERIFIED}
        for number in sorted(done):
            yield tried[number]
        if len(done) == len(asked):
            return
        plan = turns(rows_of(run, max(wanted - done, default=-1)), wanted - done)
        for lane in {turn.lane for turn in plan}:
            studio.renew(lane)
    for _, answer in _played(studio, plan):
        yield answer


def _played(studio: Studio, plan: list[Turn]) -> Iterator[tuple[int, Answer]]:
    by_number = {turn.episode: turn for turn in plan}
    astray: dict[str, int] = {}
    for episode in load_episodes(studio.run, Selection.of(by_number)):
        number = int(episode.episode or 0)
        turn = by_number[number]
        if episode.seed is not None:
            astray.pop(turn.lane, None)
        player = studio.player(turn.lane)
        try:
            for seed in studio.resets(number):
                player.env.reset(seed=seed, options=studio.options(number))
            difference, same_way = player.play(episode, episode.seed, studio.options(number))
        except Exception as error:  # whatever somebody else's code raises
            astray.setdefault(turn.lane, number)
            if turn.wanted:
                why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
                yield number, _cannot(number, f"the environment failed ({why})")
            studio.renew(turn.lane)
            continue
        before = astray.get(turn.lane)
        if not same_way:
            astray.setdefault(turn.lane, number)
        if turn.wanted:
            yield number, _answer(number, turn, difference, before, episode.stage)


def _answer(
    number: int,
    turn: Turn,
    difference: Difference | None,
    before: int | None,
    stage: str | None,
) -> Answer:
    if difference is None:
        return {"episode": number, "status": VERIFIED}
    if turn.unknown:
        return _cannot(number, turn.unknown)
    if before is not None:
        return _cannot(number, f"episode {before} before it went another way")
    if stage is not None:
        return _cannot(
            number, f"what stage {stage!r} changed of the environment is not on the tape"
        )
    return {"episode": number, "status": DIVERGED, **asdict(difference)}


def _cannot(number: int, reason: str) -> Answer:
    return {"episode": number, "status": UNVERIFIABLE, "reason": reason}


if __name__ == "__main__":
    main()
