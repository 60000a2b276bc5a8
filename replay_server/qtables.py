"""Q-tables on the wire: `qtable` messages and `GET /api/runs/{run}/qtable`.

The range that a colour scale over the whole run needs is looked for once, and again
when a run that records has grown by a tenth.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Final

import msgpack

from recorder import NoQTable, Run
from recorder.qtables import QRange
from replay_server.encoding import BINARY, column, encode, websocket_frame
from replay_server.messages import Data

MOST_BYTES: Final = 8 << 20
_RANGES: Final = 256
_GROWN: Final = 1.1


class QTables:
    """Reads tables for whoever asks. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ranges: OrderedDict[tuple[str, float], QRange] = OrderedDict()

    def read(self, run: Run, episode: int | None, step: int | None) -> Data:
        """Return the data of a `qtable` message, its columns as arrays.

        Args:
            run: the run.
            episode: an episode; None where the step is a global one.
            step: of the episode (0 where None), or a global one (the run's end where None).

        Raises:
            RecorderError: there is no such moment or table, or it cannot be read.
        """
        table = run.q_table(step, episode=episode)
        if table.values.nbytes > MOST_BYTES:
            raise NoQTable(
                f"expected a Q-table of at most {MOST_BYTES >> 20} MiB to show, got "
                f"{table.values.nbytes:,} bytes; read it with open_run(...).q_table(...)"
            )
        span = self._range(run)
        return {
            "run": run.run_id,
            "episode": episode,
            "step": table.step,
            "start": table.start,
            "exact": bool(table.exact.all()),
            "range": {
                "q_values": [span.low, span.high],
                "value": [span.value_low, span.value_high],
                "visits": span.visits,
            },
            "columns": {
                "q_values": table.values,
                "exact": table.exact,
                "visits": table.visits,
            },
        }

    def _range(self, run: Run) -> QRange:
        key = (run.run_id, run.info.created_at)
        end, recording = run.end_step, run.is_recording()
        with self._lock:
            known = self._ranges.get(key)
        grown = known is not None and end > known.step * (_GROWN if recording else 1)
        if known is None or grown:
            known = run.q_range()
        with self._lock:
            self._ranges[key] = known
            self._ranges.move_to_end(key)
            while len(self._ranges) > _RANGES:
                self._ranges.popitem(last=False)
        return known


def as_json(data: Data) -> Data:
    """The data with columns in their JSON form."""
    return {**data, "columns": _columns(data, binary=False)}


def message(data: Data, *, binary: bool, id: Any) -> bytes:
    """A `qtable` message, ready for the socket."""
    told: Data = {} if id is None else {"id": id}
    told |= {**data, "columns": _columns(data, binary=binary)}
    if not binary:
        return encode("qtable", told)
    return websocket_frame(BINARY, msgpack.packb(["qtable", told]))


def _columns(data: Data, *, binary: bool) -> Data:
    return {name: column(values, binary=binary) for name, values in data["columns"].items()}
