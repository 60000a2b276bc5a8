"""Reel's recorder: every step of a training run on tape, for next to nothing.

    recorder = EpisodeRecorder("runs", env=env)
    recorder.record_step(observation, action, reward)
    recorder.finish_episode(final_observation, terminated=True)

`RecordEpisodes` and `RecordVectorEpisodes` record an environment instead,
`recorder.sb3.RecordCallback` a training of Stable-Baselines3. `open_run` reads it back,
while it is still being written too.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recorder.afterwards import Pruned, prune_run
    from recorder.asking import TapeSlice
    from recorder.catalogue import find_run, is_run_id, list_runs
    from recorder.columns import Channel
    from recorder.curve import Curve
    from recorder.episode import Episode, EpisodeSummary, Steps, Stretch
    from recorder.episodes import Episodes
    from recorder.errors import (
        ChannelError,
        ComparisonError,
        DamagedLabels,
        DamagedTape,
        EpisodeNotFound,
        ExpressionError,
        FactsError,
        KeyframeError,
        LabelError,
        LayoutMismatch,
        ListingError,
        MissingExtra,
        NewerSchema,
        NoQTable,
        NotARun,
        OptionError,
        PolicyError,
        QueryError,
        RecorderError,
        RunBusy,
        RunExists,
        RunIdError,
        RunNotFound,
        RunsDirError,
        SequenceError,
        SpaceError,
        StepsNotKept,
    )
    from recorder.facets import Facet
    from recorder.highlights import Highlight, Highlights
    from recorder.labels import EpisodeLabels, Labels, label_episode, label_run, read_labels
    from recorder.listing import EpisodePage, check_filter
    from recorder.livequeue import LiveQueue
    from recorder.orders import SORTS as EPISODE_SORTS
    from recorder.qtables import QTable
    from recorder.recorder import EpisodeRecorder
    from recorder.recorder_stats import RecorderStats
    from recorder.removal import Removed, remove_run
    from recorder.run import Run, open_run
    from recorder.runlock import is_held as is_recording
    from recorder.runrow import Counts, RunInfo, RunSummary
    from recorder.sqlquery import query_run
    from recorder.tape import Event
    from recorder.vector import RecordVectorEpisodes
    from recorder.wrapper import RecordEpisodes

__all__ = [
    "EPISODE_SORTS",
    "Channel",
    "ChannelError",
    "ComparisonError",
    "Counts",
    "Curve",
    "DamagedLabels",
    "DamagedTape",
    "Episode",
    "EpisodeLabels",
    "EpisodeNotFound",
    "EpisodePage",
    "EpisodeRecorder",
    "EpisodeSummary",
    "Episodes",
    "Event",
    "ExpressionError",
    "Facet",
    "FactsError",
    "Highlight",
    "Highlights",
    "KeyframeError",
    "LabelError",
    "Labels",
    "LayoutMismatch",
    "ListingError",
    "LiveQueue",
    "MissingExtra",
    "NewerSchema",
    "NoQTable",
    "NotARun",
    "OptionError",
    "PolicyError",
    "Pruned",
    "QTable",
    "QueryError",
    "RecordEpisodes",
    "RecordVectorEpisodes",
    "RecorderError",
    "RecorderStats",
    "Removed",
    "Run",
    "RunBusy",
    "RunExists",
    "RunIdError",
    "RunInfo",
    "RunNotFound",
    "RunSummary",
    "RunsDirError",
    "SequenceError",
    "SpaceError",
    "Steps",
    "StepsNotKept",
    "Stretch",
    "TapeSlice",
    "check_filter",
    "find_run",
    "is_recording",
    "is_run_id",
    "label_episode",
    "label_run",
    "list_runs",
    "open_run",
    "prune_run",
    "query_run",
    "read_labels",
    "remove_run",
]

# Imported where they are first asked for: the writer's process, which each run starts anew, needs
# a quarter of this package, and who only reads tapes does without Gymnasium. `name=own` is known
# by another name at home.
_HOMES = {
    "afterwards": "Pruned prune_run",
    "asking": "TapeSlice",
    "catalogue": "find_run is_run_id list_runs",
    "columns": "Channel",
    "curve": "Curve",
    "episode": "Episode EpisodeSummary Steps Stretch",
    "episodes": "Episodes",
    "errors": (
        "ChannelError ComparisonError DamagedLabels DamagedTape EpisodeNotFound "
        "ExpressionError FactsError KeyframeError LabelError LayoutMismatch ListingError "
        "MissingExtra NewerSchema NoQTable NotARun OptionError PolicyError QueryError "
        "RecorderError RunBusy RunExists RunIdError RunNotFound RunsDirError SequenceError "
        "SpaceError StepsNotKept"
    ),
    "facets": "Facet",
    "highlights": "Highlight Highlights",
    "labels": "EpisodeLabels Labels label_episode label_run read_labels",
    "listing": "EpisodePage check_filter",
    "livequeue": "LiveQueue",
    "orders": "EPISODE_SORTS=SORTS",
    "qtables": "QTable",
    "recorder": "EpisodeRecorder",
    "recorder_stats": "RecorderStats",
    "removal": "Removed remove_run",
    "run": "Run open_run",
    "runlock": "is_recording=is_held",
    "runrow": "Counts RunInfo RunSummary",
    "sqlquery": "query_run",
    "tape": "Event",
    "vector": "RecordVectorEpisodes",
    "wrapper": "RecordEpisodes",
}
# And what is documented to be had from a module.
_ROOMS = ("agents", "policies")
_HOME_OF = {
    name: (module, own or name)
    for module, names in _HOMES.items()
    for name, _, own in (told.partition("=") for told in names.split())
}


def __getattr__(name: str) -> Any:
    if name in _HOMES or name in _ROOMS:  # `recorder.errors`, of which nothing was asked before
        return importlib.import_module(f"{__name__}.{name}")
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, own_name = home
    value = getattr(importlib.import_module(f"{__name__}.{module}"), own_name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
