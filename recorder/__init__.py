"""Reel's recorder: every step of a training run on tape, for next to nothing.

    recorder = EpisodeRecorder("runs", env=env)
    recorder.record_step(observation, action, reward)
    recorder.finish_episode(final_observation, terminated=True)

`open_run` reads it back, while it is still being written too.
"""

from recorder.catalogue import find_run, is_run_id, list_runs
from recorder.columns import Channel
from recorder.curve import Curve
from recorder.episode import Episode, EpisodeSummary, Steps
from recorder.errors import (
    ChannelError,
    DamagedTape,
    EpisodeNotFound,
    FactsError,
    ListingError,
    NewerSchema,
    NotARun,
    RecorderError,
    RunBusy,
    RunExists,
    RunNotFound,
    RunsDirError,
    SequenceError,
    SpaceError,
    StepsNotKept,
)
from recorder.listing import EpisodePage
from recorder.livequeue import LiveQueue
from recorder.recorder import EpisodeRecorder, RecorderStats
from recorder.run import Counts, Run, RunInfo, RunSummary, open_run
from recorder.tape import Event

__all__ = [
    "Channel",
    "ChannelError",
    "Counts",
    "Curve",
    "DamagedTape",
    "Episode",
    "EpisodeNotFound",
    "EpisodePage",
    "EpisodeRecorder",
    "EpisodeSummary",
    "Event",
    "FactsError",
    "ListingError",
    "LiveQueue",
    "NewerSchema",
    "NotARun",
    "RecorderError",
    "RecorderStats",
    "Run",
    "RunBusy",
    "RunExists",
    "RunInfo",
    "RunNotFound",
    "RunSummary",
    "RunsDirError",
    "SequenceError",
    "SpaceError",
    "Steps",
    "StepsNotKept",
    "find_run",
    "is_run_id",
    "list_runs",
    "open_run",
]
