"""Every error that Reel raises on purpose, under one tree.

A message says what was expected, what came, and what to do next. `code` is the short
name that programs (and the wire protocol) go by.
"""

from __future__ import annotations


class RecorderError(Exception):
    """Root of the tree."""

    code = "recorder_error"


class SpaceError(RecorderError):
    """A space that cannot be recorded, or a value that does not fit its space's form."""

    code = "bad_space"


class ChannelError(RecorderError):
    """A channel declared twice or badly, missing from a step, or of another shape."""

    code = "bad_channel"


class SequenceError(RecorderError):
    """Calls in an order that makes no episode: no steps, a step after `close`, ..."""

    code = "bad_sequence"


class FactsError(RecorderError):
    """An epsilon, seed, stage or tag that cannot be stored."""

    code = "bad_facts"


class OptionError(RecorderError):
    """An option of a recorder that says nothing usable."""

    code = "bad_option"


class RunsDirError(RecorderError):
    """The runs directory is missing, is no directory, or cannot be written."""

    code = "bad_runs_dir"


class RunIdError(RecorderError):
    """A text that cannot be a run's id."""

    code = "bad_run_id"


class RunExists(RecorderError):
    """A run of that id is there already."""

    code = "run_exists"


class RunBusy(RecorderError):
    """Another recorder holds the run."""

    code = "run_busy"


class LayoutMismatch(RecorderError):
    """A run to go on with was recorded with other spaces or channels."""

    code = "other_layout"


class RunNotFound(RecorderError):
    """No run of that id, or no directory at that path."""

    code = "unknown_run"


class NotARun(RecorderError):
    """A file or directory that is no Reel tape."""

    code = "not_a_run"


class NewerSchema(RecorderError):
    """A tape written by a newer Reel than this one."""

    code = "newer_schema"


class EpisodeNotFound(RecorderError):
    """The run holds no episode of that number."""

    code = "unknown_episode"


class StepsNotKept(RecorderError):
    """The episode's summary was kept, its steps were not."""

    code = "not_kept"


class DamagedTape(RecorderError):
    """Bytes on the tape are not what was written."""

    code = "damaged"


class PolicyError(RecorderError):
    """A recording policy that cannot be read, or that makes no sense."""

    code = "bad_policy"


class KeyframeError(RecorderError):
    """A table that cannot be a keyframe: no numbers, or too many."""

    code = "bad_keyframe"


class NoQTable(RecorderError):
    """A run that records no Q-values of numbered states, so that it has no Q-table."""

    code = "no_qtable"


class ListingError(RecorderError):
    """A sort, cursor, limit or metric that does not exist."""

    code = "bad_field"


class ExpressionError(RecorderError):
    """A filter that does not parse.

    Attributes:
        expected: what would have been right there.
        came: what stands there.
        position: where, in characters from the start of the filter.
    """

    code = "bad_filter"

    def __init__(self, expected: str, came: str, position: int) -> None:
        super().__init__(f"expected {expected} at position {position} of the filter, got {came}")
        self.expected = expected
        self.came = came
        self.position = position


class LabelError(RecorderError):
    """A name, tag or note that cannot be stored."""

    code = "bad_label"


class DamagedLabels(RecorderError):
    """The names, tags and notes beside a tape are not what was written."""

    code = "damaged_labels"


class ExportError(RecorderError):
    """Something that cannot be exported as asked: a space the target cannot hold, no episode."""

    code = "bad_export"


class OutputExists(ExportError):
    """A file or directory stands where an export is to be written."""

    code = "output_exists"


class MissingExtra(RecorderError):
    """A format or command needs a package that is not installed."""

    code = "missing_extra"


class ImportRefused(RecorderError):
    """Foreign data that cannot be imported."""

    code = "bad_import"


class ComparisonError(RecorderError):
    """Runs, episodes or Q-tables that have nothing in common to be compared by."""

    code = "not_comparable"


class QueryError(RecorderError):
    """SQL that cannot be run, or that would do more than read."""

    code = "bad_query"


class SimulationError(RecorderError):
    """An episode that cannot be played again, or that goes another way when it is."""

    code = "cannot_simulate"
