"""What a notebook shows of a run and an episode: HTML and SVG, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from recorder.curve import Curve

if TYPE_CHECKING:
    from recorder.episode import Episode, EpisodeSummary
    from recorder.run import Run

_WIDTH, _HEIGHT, _POINTS = 480, 120, 240
_PLAYER_HEIGHT = 560
_RECENT = 5


class Player:
    """An episode that plays in a notebook, and in any page that it is put into.

    Attributes:
        html: a whole page that needs no server and loads nothing.
    """

    def __init__(self, html: str) -> None:
        self.html = html

    def _repr_html_(self) -> str:
        # A frame of its own: the page's styles and scripts cannot touch the notebook.
        return (
            f'<iframe srcdoc="{escape(self.html, quote=True)}" sandbox="allow-scripts" '
            f'style="width: 100%; height: {_PLAYER_HEIGHT}px; border: 0" '
            'title="Replay of an episode"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<Player: {len(self.html):,} bytes of HTML; show it in a notebook>"


def player(facts: Mapping[str, Any], episode: Episode, theme: str = "light") -> Player:
    """Return an episode as a page that replays it.

    Args:
        facts: of the run: `run_id`, `name`, `env_id`, `algorithm`, `presentation`, ...
        episode: whole.
        theme: `light` or `dark`.
    """
    # The player is a large text, read when it is needed.
    from recorder.export.html import page

    return Player("".join(page(facts, [episode], theme=theme)))


def run_html(run: Run) -> str:
    """Return a run as a table of facts, its returns as a curve, and its newest episodes."""
    info, counts, summary = run.info, run.counts(), run.summary()
    facts = {
        "environment": info.env_id,
        "algorithm": info.algorithm,
        "status": info.status,
        "episodes": f"{counts.episodes:,}",
        "steps": f"{counts.steps:,}",
        "return (last 100)": _number(summary.return_100),
        "best return": _number(summary.best_return),
        "seed": info.seed,
        "tags": " ".join(info.tags),
        "note": info.note,
    }
    rows = "".join(
        f"<tr><th style='text-align: left'>{escape(name)}</th>"
        f"<td style='text-align: left'>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
        if value not in (None, "")
    )
    curve = curve_svg(run.curve(points=_POINTS))
    newest = episodes_html(list(run.episodes(sort="newest")[:_RECENT]))
    title = f"{escape(info.name)} <small>{escape(run.run_id)}</small>"
    return f"<div><h4>{title}</h4><table>{rows}</table>{curve}{newest}</div>"


def episodes_html(summaries: Sequence[EpisodeSummary], more: int = 0) -> str:
    """Return summaries as a table."""
    if not summaries:
        return "<p>No episode yet.</p>"
    names = ("episode", "length", "return", "ending", "epsilon", "stage", "tags")
    lines: Iterable[str] = (
        "<tr>"
        + "".join(
            f"<td>{escape(str(value))}</td>"
            for value in (
                f"{one.episode:,}", f"{one.length:,}", _number(one.episode_return), one.ending,
                _number(one.epsilon), one.stage or "", " ".join(one.tags),
            )
        )
        + "</tr>"
        for one in summaries
    )  # fmt: skip
    head = "".join(f"<th>{name}</th>" for name in names)
    rest = f"<p>... and {more:,} more.</p>" if more > 0 else ""
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>{rest}"


def curve_svg(curve: Curve) -> str:
    """Return a curve as inline SVG: the mean as a line, least and greatest as a band."""
    known = np.isfinite(curve.mean) & np.isfinite(curve.min) & np.isfinite(curve.max)
    if known.sum() < 2:
        return ""
    at = curve.episode[known].astype(np.float64)
    low, high = float(curve.min[known].min()), float(curve.max[known].max())
    x = (at - at[0]) / (at[-1] - at[0]) * _WIDTH
    span = high - low or 1.0

    def line(values: Any, places: Any) -> str:
        y = _HEIGHT - (values - low) / span * _HEIGHT
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(places, y, strict=True))

    band = line(curve.max[known], x) + " " + line(curve.min[known][::-1], x[::-1])
    told = (
        f"{curve.metric} of episodes {int(at[0]):,} to {curve.last - 1:,}: {low:.6g} to {high:.6g}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {_WIDTH + 4} {_HEIGHT + 22}" '
        f'width="{_WIDTH}" height="{_HEIGHT + 20}" role="img" aria-label="{escape(told)}">'
        f'<polygon points="{band}" fill="#4a90d9" fill-opacity="0.2"/>'
        f'<polyline points="{line(curve.mean[known], x)}" fill="none" stroke="#2a6fb8"/>'
        f'<text x="0" y="{_HEIGHT + 15}" font-size="11" fill="#777">{escape(told)}</text></svg>'
    )


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.6g}"
