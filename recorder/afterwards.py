"""`prune_run`: a recording policy or a quota, applied to a run that is over.

The same decisions as while recording, taken by the same judges (`judge`, `quota`) and
carried out by the same commits (`keeping`, `tape`): each is a transaction of its own, so
that a kill leaves a run of which less was taken off, and whole.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from recorder.assemble import Ended
from recorder.errors import PolicyError, RunsDirError
from recorder.judge import Judge
from recorder.keeping import Keeping
from recorder.layout import Layout
from recorder.policy import Policy, policy_of
from recorder.policy_text import parse_policy
from recorder.pruning import Decision, check_quota
from recorder.quota import Quota
from recorder.reader import open_tape, reading
from recorder.run import open_run
from recorder.runlock import RunLock
from recorder.scan import scan_segments
from recorder.schema import FILE_NAME
from recorder.tape import EPISODE_COLUMNS, Event, Tape

_BATCH = 4096
_Kept = tuple[int, int]  # episodes that have their steps, and how many these are
_ROUNDS = 1000  # of a quota; each frees at least an episode, and mostly all that is asked


@dataclass(frozen=True)
class Pruned:
    """What `prune_run` did.

    Attributes:
        run_id: the run.
        episodes: finished episodes that gave up their steps.
        steps: how many these were.
        kept: finished episodes that still have theirs.
        bytes_before: size of the tape's file before.
        bytes_after: size of it now; what is less was given back to the disk.
    """

    run_id: str
    episodes: int
    steps: int
    kept: int
    bytes_before: int
    bytes_after: int


def prune_run(
    path: str | Path, keep: str | Policy | None = None, quota_bytes: int | None = None
) -> Pruned:
    """Take the steps of some episodes off a run that nobody records; summaries stay.

    An episode that has no steps any more is not brought back by a policy that keeps it.

    Args:
        path: the run's directory.
        keep: a policy or its text (see docs/recording.md); it sees every finished episode
            of the run in order. Episodes that it does not keep give up their steps.
        quota_bytes: bytes that the tape's file may take; the oldest episodes give up their
            steps first. Where both are given, the policy comes first.

    Raises:
        PolicyError: neither is given, or one that makes no sense.
        RunBusy: a recorder holds the run; it stays as it is.
        RunNotFound, NotARun, NewerSchema, DamagedTape: see `open_run`.
        RunsDirError: the run cannot be written.
    """
    path = Path(path)
    if keep is None and quota_bytes is None:
        raise PolicyError(
            "expected a policy or a quota to prune by, got neither; for example 'every 100'"
        )
    policy = parse_policy(keep) if isinstance(keep, str) else keep and policy_of(keep)
    if quota_bytes is not None:
        check_quota(quota_bytes)
    with open_run(path) as run:  # what is no tape, or a newer one, is not written to
        layout = run.layout
    try:
        lock = RunLock(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        return _prune(path, layout, policy, quota_bytes)
    except sqlite3.OperationalError as error:
        raise _cannot_write(path, error) from error
    except sqlite3.Error as error:
        with reading(path / FILE_NAME):
            raise
        raise AssertionError from error
    finally:
        lock.release()


def _prune(path: Path, layout: Layout, policy: Policy | None, quota: int | None) -> Pruned:
    tape = Tape(path, layout)
    try:
        # The tape is not taken up: no segment stays open, so all of them can be pruned.
        tape.migrate()
        before = _kept(tape)
        bytes_before = _size(tape.path)
        if policy is not None:
            _by_policy(tape, path, policy)
        if quota is not None:
            _by_quota(tape, quota)
        after = _kept(tape)
        if after != before:
            _mark(tape, policy, quota, before, after)
        tape.give_back()
        tape.checkpoint()
    finally:
        tape.close()
    return Pruned(
        path.name,
        before[0] - after[0],
        before[1] - after[1],
        after[0],
        bytes_before,
        tape.path.stat().st_size,
    )


def _mark(
    tape: Tape, policy: Policy | None, quota: int | None, before: _Kept, after: _Kept
) -> None:
    """Say on the timeline that steps are gone, and why."""
    episodes, steps = before[0] - after[0], before[1] - after[1]
    asked = {"keep": None if policy is None else str(policy), "quota_bytes": quota}
    ((number, place),) = tape.select(
        "SELECT coalesce(max(episode), 0), coalesce(max(first_step + length), 0) FROM episodes"
    )
    text = f"{episodes:,} episodes gave up their {steps:,} steps afterwards"
    data = {**asked, "episodes": episodes, "steps": steps}
    tape.commit((), [Event(time.time(), number, place, "prune", text, data)])


def _by_policy(tape: Tape, path: Path, policy: Policy) -> None:
    keeping = Keeping(decides=True)
    judge = Judge(policy)
    connection = open_tape(path)
    try:
        gone: set[int] = set()
        for ended, earned in _finished(tape, path, connection):
            gone.update(
                number
                for number, kept in zip(
                    ended.columns["episode"], ended.columns["kept"], strict=True
                )
                if not kept
            )
            _carry_out(tape, keeping, judge.see(ended, earned), gone)
        _carry_out(tape, keeping, judge.finish(), gone)
        keeping.finish()
        _commit(tape, keeping)
    finally:
        connection.close()


def _carry_out(tape: Tape, keeping: Keeping, decisions: list[Decision], gone: set[int]) -> None:
    keeping.decide(decision for decision in decisions if decision.episode not in gone)
    for decision in decisions:
        gone.discard(decision.episode)
    if keeping.waiting:
        _commit(tape, keeping)


def _by_quota(tape: Tape, quota: int) -> None:
    keeping = Keeping(quota=Quota(quota, tape))
    for _ in range(_ROUNDS):
        ruling = keeping.ruling(())
        if not ruling.gone:
            break
        tape.commit((), ruling=ruling)
        keeping.committed(ruling)


def _commit(tape: Tape, keeping: Keeping) -> None:
    ruling = keeping.ruling(())
    tape.commit((), ruling=ruling)
    keeping.committed(ruling)


def _finished(
    tape: Tape, path: Path, connection: sqlite3.Connection
) -> Iterator[tuple[Ended, list[float]]]:
    """Yield the finished episodes in order, and the last reward of each, some at a time."""
    last = -1
    while True:
        rows = tape.select(
            f"SELECT {', '.join(EPISODE_COLUMNS)} FROM episodes "
            f"WHERE episode > ? AND running = 0 ORDER BY episode LIMIT {_BATCH}",
            (last,),
        )
        if not rows:
            return
        columns: dict[str, list[Any]] = {
            name: list(values)
            for name, values in zip(EPISODE_COLUMNS, zip(*rows, strict=True), strict=True)
        }
        columns["tags"] = [tuple((tags or "").split()) for tags in columns["tags"]]
        columns["episode_return"] = [
            math.nan if value is None else value for value in columns["episode_return"]
        ]
        last = columns["episode"][-1]
        yield Ended(rows[0][0], columns), _last_rewards(tape, path, connection, columns)


def _last_rewards(
    tape: Tape, path: Path, connection: sqlite3.Connection, columns: dict[str, list[Any]]
) -> list[float]:
    """The reward of the last step of each episode, NaN where its steps are gone."""
    kept = np.array(columns["kept"], dtype=bool) & (np.array(columns["length"]) > 0)
    steps = np.array(columns["first_step"]) + np.array(columns["length"]) - 1
    earned = np.full(len(steps), np.nan)
    wanted = np.flatnonzero(kept)
    if len(wanted):
        first, last = int(steps[wanted[0]]), int(steps[wanted[-1]])
        with reading(path / FILE_NAME):
            for segment, _ in scan_segments(connection, RLock(), tape.layout, first, last + 1):
                rows = steps - segment.first_step
                here = kept & (rows >= 0) & (rows < segment.count)
                earned[here] = segment.columns["reward"][rows[here]]
    return list(earned.tolist())


def _kept(tape: Tape) -> _Kept:
    ((episodes, steps),) = tape.select(
        "SELECT count(*), coalesce(sum(length), 0) FROM episodes WHERE kept = 1 AND running = 0"
    )
    return episodes, steps


def _size(file: Path) -> int:
    """Bytes of the tape, what a crashed recorder left in its write-ahead log included."""
    wal = file.with_name(file.name + "-wal")
    return file.stat().st_size + (wal.stat().st_size if wal.exists() else 0)


def _cannot_write(path: Path, error: Exception) -> RunsDirError:
    return RunsDirError(
        f"expected to write to run {path}, got: {error}; free some space, or see whose it is"
    )
