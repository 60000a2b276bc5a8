"""What an `EpisodeRecorder` may be told, looked at before anything is made of it or written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from recorder.errors import OptionError, RunIdError, RunsDirError

COMMIT_INTERVAL_S = 0.1
COMMIT_INTERVAL_MOST_S = 3600


def check_options(commit_interval: Any, live_stream_callback: Any) -> None:
    """Look at what is used on other threads, where nobody would hear of it.

    Raises:
        OptionError: one of them cannot be used.
    """
    number = isinstance(commit_interval, (int, float)) and not isinstance(commit_interval, bool)
    if not number or not 0 <= commit_interval <= COMMIT_INTERVAL_MOST_S:
        raise OptionError(
            f"expected commit_interval in seconds, from 0 to {COMMIT_INTERVAL_MOST_S}, got "
            f"{commit_interval!r}; leave it out for {COMMIT_INTERVAL_S}"
        )
    if live_stream_callback is not None and not callable(live_stream_callback):
        raise OptionError(
            f"expected live_stream_callback as a function of an episode, got "
            f"{live_stream_callback!r}; leave it out for none"
        )


def check_names(runs_dir: Any, run_id: Any, name: Any) -> None:
    """Look at what a run is called, and where it is to lie.

    Raises:
        RunsDirError: `runs_dir` is no path.
        RunIdError: `run_id` is no text.
        OptionError: `name` is no text.
    """
    if not isinstance(runs_dir, (str, os.PathLike)):
        raise RunsDirError(
            f"expected runs_dir as a path, got {runs_dir!r}; leave it out for 'runs'"
        )
    if run_id is not None and not isinstance(run_id, str):
        raise RunIdError(
            f"expected a run id as text, got {run_id!r}; write {str(run_id)!r}, or leave it out"
        )
    if name is not None and not isinstance(name, str):
        raise OptionError(
            f"expected name as text, got {name!r}; write {str(name)!r}, or leave it out"
        )


def check_mappings(**options: Any) -> None:
    """Look at options that are mappings, or None.

    Raises:
        OptionError: one of them is something else.
    """
    for name, value in options.items():
        if value is not None and not isinstance(value, Mapping):
            raise OptionError(
                f"expected {name} as a dict, got {value!r}; write {name}={{'name': value}}, or "
                "leave it out"
            )
