"""What a recorder says that is called out of order, or where it cannot record."""

from __future__ import annotations

from recorder.errors import SequenceError


def closed() -> SequenceError:
    """Return the error of a recorder that was closed."""
    return SequenceError(
        "expected an open recorder, got a closed one; make a new EpisodeRecorder for a new run"
    )


def forked() -> SequenceError:
    """Return the error of a recorder in a forked child of the process that made it."""
    return SequenceError(
        "expected the process that made this recorder, got a forked child of it; make a "
        "recorder of its own in the child, for a run of its own"
    )


def no_steps() -> SequenceError:
    """Return the error of an end without a step before it."""
    return SequenceError(
        "expected at least one step before finish_episode, got none; "
        "call record_step for each step first, and finish_episode once an episode"
    )


def open_episode() -> SequenceError:
    """Return the error of a whole episode that comes while the steps of another have no end."""
    return SequenceError(
        "expected no open episode, got one with steps and no end; call finish_episode before "
        "handing in a whole episode"
    )
