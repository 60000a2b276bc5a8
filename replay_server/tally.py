"""What a server counts of itself. Plain numbers, raised where it happens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Totals since the server began.

    Attributes:
        requests: HTTP answers by method and status; an upgrade is a 101.
        messages: messages of viewers, ones that were refused included.
        refusals: those that were answered with `error`.
        viewers: WebSockets that were opened.
        evicted: viewers dropped because they took nothing, or answered no ping.
        turned_away: connections closed at once, beyond the most there may be.
        stalled: connections dropped because they made no request.
    """

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    messages: int = 0
    refusals: int = 0
    viewers: int = 0
    evicted: int = 0
    turned_away: int = 0
    stalled: int = 0
