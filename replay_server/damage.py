"""Where a part of an episode cannot be read: what can, around a step, and from a step on.

Reads of a whole stretch fail where one row of it is damaged; these are asked then.
"""

from __future__ import annotations

import contextlib

from recorder import DamagedTape, EpisodeSummary, Steps, Stretch
from replay_server.archive import Archive


async def onward(
    archive: Archive, run_id: str, summary: EpisodeSummary, start: int, stop: int
) -> tuple[Stretch | None, Steps | None]:
    """What comes of the rows `[start, stop)` of an episode.

    Returns:
        The stretch at `start`, and rows: where it is sound, those from `start` as far as it goes;
        where it is not, the one behind it. No rows where there are none to come, and no stretch
        where it is not known what is damaged.
    """
    part: Stretch | None = None
    with contextlib.suppress(DamagedTape):
        if start >= summary.length:
            return None, None
        part = await archive.stretch(run_id, summary, start)
        if part.sound:
            return part, await archive.sound_rows(run_id, summary, start, min(stop, part.stop))
        if part.stop < summary.length:
            row = await archive.sound_rows(run_id, summary, part.stop, part.stop + 1)
            return part, row
        return part, None
    # What is on the tape can be opened, and contradicts the episode's row: nothing is believed.
    return None, None


async def around(
    archive: Archive, run_id: str, summary: EpisodeSummary, start: int, stop: int
) -> tuple[Steps | None, Stretch | None]:
    """The last of the rows `[start, stop)` of an episode.

    Returns:
        Those that can be read with the last one; or, where that one cannot, the damaged
        stretch it is in. Neither, where nothing of the episode can be read.
    """
    with contextlib.suppress(DamagedTape):
        part = await archive.stretch(run_id, summary, stop - 1)
        if part.sound:
            start = max(start, part.start)
            return await archive.sound_rows(run_id, summary, start, stop), None
        if part.start > 0 or part.stop < summary.length:
            return None, part
    return None, None
