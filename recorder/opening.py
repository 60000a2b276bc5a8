"""A run's tape, made new or taken up again, before its writer starts."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recorder import schema
from recorder.assemble import Assembler, Piece
from recorder.blank import write_blank
from recorder.catalogue import find_run, make_run_dir
from recorder.codec import INCOMPLETE, NO_FINAL
from recorder.errors import LayoutMismatch, RecorderError, RunNotFound, RunsDirError
from recorder.layout import Layout
from recorder.reader import open_tape, reading
from recorder.runlock import RunLock
from recorder.tape import Event, Tape


@dataclass(frozen=True)
class Opened:
    """Where a recorder begins.

    Attributes:
        run_dir: the run's directory.
        lock: the run's, held.
        episode: number of its first episode.
        first_step: global step of its first step.
        lost_before: episodes and steps that the run had lost by then.
    """

    run_dir: Path
    lock: RunLock
    episode: int = 0
    first_step: int = 0
    lost_before: tuple[int, int] = (0, 0)


def begin(
    runs_dir: str | Path,
    run_id: str | None,
    name: str,
    resume: bool,
    layout: Layout,
    facts: Mapping[str, Any],
) -> Opened:
    """Make a run, or take one up. See `EpisodeRecorder`.

    Raises:
        RunsDirError, RunIdError, RunExists: see `make_run_dir`, and `make`.
        RunNotFound: there is no run to take up, or none is named.
        RunBusy, LayoutMismatch, NotARun, NewerSchema, DamagedTape: see `take_up`.
    """
    if not resume:
        return make(make_run_dir(runs_dir, run_id, name), facts)
    if run_id is None:
        raise RunNotFound("expected run_id=... with resume=True, got none; name the run")
    return take_up(find_run(runs_dir, run_id), layout, facts)


def make(run_dir: Path, row: Mapping[str, Any]) -> Opened:
    """Make the tape of a new run in its new, empty directory.

    Raises:
        RunsDirError: it cannot be written. The directory is gone again.
    """
    lock = None
    try:
        lock = RunLock(run_dir)
        # Made aside and moved in place whole: no reader, and no kill, finds half a tape.
        aside = run_dir / "new"
        write_blank(aside, {"run_id": run_dir.name, **row})
        aside.rename(run_dir / schema.FILE_NAME)
        _sync(run_dir)
    except (sqlite3.Error, OSError) as error:
        if lock is not None:
            lock.release()
        shutil.rmtree(run_dir, ignore_errors=True)
        raise _cannot_write(run_dir, error) from error
    return Opened(run_dir, lock)


def take_up(run_dir: Path, layout: Layout, facts: Mapping[str, Any]) -> Opened:
    """Take up a run whose recorder is gone; end the episode that it left running.

    Args:
        run_dir: the run's directory.
        layout: of the environment that is recorded now.
        facts: columns of the run's row as they would be for a new run; where they differ
            from what stands there, the `resume` event says so.

    Raises:
        RunBusy: another recorder holds the run.
        RunNotFound, NotARun, NewerSchema, DamagedTape: see `open_run`.
        LayoutMismatch: the run was recorded with other spaces or channels.
        RunsDirError: it cannot be written.
    """
    lock = RunLock(run_dir)
    try:
        # By the reader's eyes first: what is no tape, or a newer one, is not written to.
        with reading(run_dir / schema.FILE_NAME):
            _compare(run_dir, facts)
            return _take_up(run_dir, layout, facts, lock)
    except OSError as error:
        lock.release()
        raise _cannot_write(run_dir, error) from error
    except BaseException:
        lock.release()
        raise


def _take_up(run_dir: Path, layout: Layout, facts: Mapping[str, Any], lock: RunLock) -> Opened:
    try:
        tape = Tape(run_dir, layout)
    except sqlite3.OperationalError as error:
        raise _cannot_write(run_dir, error) from error
    try:
        tape.migrate()
        running = tape.take_up()
        lost_before = tape.run_row("lost_episodes", "lost_steps")
        pieces = [] if not running.length else [cut_off(layout, running)]
        number = running.episode + len(pieces)
        step = running.first_step + running.length
        told = ("env_id", "env_kwargs", "algorithm", "hyperparameters", "seed")
        changed = {
            name: _plain(facts[name])
            for name, stored in zip(told, tape.run_row(*told), strict=True)
            if stored != facts[name]
        }
        data = {"changed": changed, "cut_off": running.episode if pieces else None}
        text = f"recording goes on with episode {number:,}"
        event = Event(time.time(), number, step, "resume", text, data)
        try:
            tape.commit(pieces, [event], {"status": "recording", "ended_at": None})
        except sqlite3.OperationalError as error:
            raise _cannot_write(run_dir, error) from error
        return Opened(run_dir, lock, number, step, lost_before)
    finally:
        tape.close()


def cut_off(layout: Layout, running: Any) -> Piece:
    """Return the piece that ends a running episode as one that was cut off."""
    step = running.first_step + running.length
    mark = (
        0, None, INCOMPLETE | NO_FINAL, None, None, None, running.started_at, 0.0, (),
    )  # fmt: skip
    columns = {column.name: column.empty(0) for column in layout.steps}
    return Assembler(layout, running.episode, step, running).add(columns, [mark], 0, time.time())


def _sync(directory: Path) -> None:
    """Have a directory's entries on disk, so that a power cut does not take the file's name."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _compare(run_dir: Path, facts: Mapping[str, Any]) -> None:
    names = ("observation_space", "action_space", "layout")
    connection = open_tape(run_dir)
    try:
        texts = connection.execute(f"SELECT {', '.join(names)} FROM run").fetchone()
    finally:
        connection.close()
    for name, text in zip(names, texts, strict=True):
        stored, came = json.loads(text), json.loads(facts[name])
        if stored != came:
            what = {"layout": "channels"}.get(name, name.replace("_", " "))
            raise LayoutMismatch(
                f"expected the {what} that run {run_dir.name!r} was recorded with, "
                f"{json.dumps(stored)}, got {json.dumps(came)}; take it up with the same "
                "environment and channels, or record a new run"
            )


def _plain(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


def _cannot_write(run_dir: Path, error: Exception) -> RecorderError:
    return RunsDirError(
        f"expected to write a tape into {run_dir}, got: {error}; free some space or choose "
        "another directory"
    )
