"""What actions are called: a presentation names those of a `Discrete` space, the first one first.

Pure: a run's presentation and its action space, as data, and an action in; a name out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def named_action(
    presentation: Mapping[str, Any], space: Mapping[str, Any], action: Any
) -> str | None:
    """Return the name of an action, or None where it has none.

    Args:
        presentation: the run's (`docs/protocol.md`, Presentations).
        space: the run's action space. A `Discrete` one need not begin at 0: `start` is the
            action that is named first.
        action: of any kind.
    """
    names = presentation.get("actions")
    if not isinstance(names, list | tuple) or isinstance(action, bool | np.bool_):
        return None
    if isinstance(action, np.ndarray) and action.ndim == 0:
        action = action[()]
    if not isinstance(action, int | np.integer):
        return None
    index = int(action) - int(space.get("start") or 0)
    if not 0 <= index < len(names) or not isinstance(names[index], Mapping):
        return None
    name = names[index].get("name")
    return None if name is None else str(name)
