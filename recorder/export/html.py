"""HTML: one page that replays a selection of episodes with no server and no network.

The player (`player/`) stands in the page; each episode is an element of its own with its
columns, numbers deflated and in base64. The page's policy lets nothing run but that player and
nothing be loaded. Whatever comes from the tape is data: it is escaped here, and shown as text
there.
"""

from __future__ import annotations

import base64
import hashlib
import html
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recorder.bulk import load_episodes
from recorder.episode import Episode, ending
from recorder.errors import ExportError
from recorder.export import Options, Written
from recorder.export.values import Array, dumps, run_facts
from recorder.selection import Selection

if TYPE_CHECKING:
    from recorder.run import Run

LIMIT_BYTES = 200 << 20
"""Most bytes of a page: more than that no browser opens gladly."""
_PLAYER = Path(__file__).parent / "player"
_FACTS = (
    "run_id", "name", "env_id", "algorithm", "action_space", "presentation", "channels", "seed",
)  # fmt: skip
_HEAD = (
    "episode", "length", "episode_return", "seed", "epsilon", "stage",
)  # fmt: skip


def is_directory(options: Options) -> bool:
    """A file."""
    return False


def check(run: Run, out: Path, options: Options) -> None:
    """JSON and typed arrays hold every space."""


def write(run: Run, selection: Selection, out: Path, options: Options, result: Written) -> None:
    """See `recorder.export.Format`."""

    def counted() -> Iterator[Episode]:
        for episode in load_episodes(run, selection):
            result.episodes += 1
            result.steps += episode.length
            yield episode

    size = 0
    with out.open("w", encoding="utf-8", newline="\n") as file:
        for part in page(run_facts(run), counted(), theme=options.theme, speed=options.speed):
            size += file.write(part)
            if size > LIMIT_BYTES:
                raise ExportError(
                    f"expected episodes that fit a page of {LIMIT_BYTES >> 20} MiB, got more than "
                    "that; select fewer (--episodes, --where)"
                )


def page(
    facts: Mapping[str, Any], episodes: Iterable[Episode], theme: str = "light", speed: float = 1.0
) -> Iterator[str]:
    """Yield a page that replays episodes, part by part.

    Args:
        facts: of the run; what a page that is handed around need not tell is left out.
        episodes: whole ones.
        theme: `light` or `dark`.
        speed: times the run's own.
    """
    told = {name: facts[name] for name in _FACTS}
    script = (_PLAYER / "player.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    head = (_PLAYER / "page.html").read_text(encoding="utf-8")
    for name, text in {
        "%THEME%": theme,
        "%HASH%": f"sha256-{digest}",
        "%STYLE%": (_PLAYER / "style.css").read_text(encoding="utf-8"),
        "%TITLE%": html.escape(f"{told['name']} - Reel"),
    }.items():
        head = head.replace(name, text)
    yield head
    yield _data({**told, "speed": speed}, 'id="run"')
    for episode in episodes:
        known = {name: getattr(episode, name) for name in _HEAD}
        known["ending"] = ending(episode.terminated, episode.truncated, episode.incomplete)
        yield _data(_columns(episode), f'class="episode" data-facts="{html.escape(dumps(known))}"')
    yield f"<script>{script}</script>\n</body>\n</html>\n"


def _data(value: Any, attributes: str) -> str:
    # In a script element only `<` can end the data or change how it is read.
    text = dumps(value).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    return f'<script type="application/json" {attributes}>{text}</script>\n'


def _columns(episode: Episode) -> dict[str, Any]:
    columns = {
        "observation": episode.observations,
        "action": episode.actions,
        "reward": episode.rewards,
        **episode.channels,
    }
    if episode.infos is not None:
        columns["info"] = episode.infos
    return {name: _column(values) for name, values in columns.items()}


def _column(values: Array) -> dict[str, Any]:
    if values.dtype == object or values.dtype == np.float16:
        return {"json": list(values)}
    little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
    packed = base64.b64encode(zlib.compress(little.tobytes(), 6)).decode()
    return {"dtype": little.dtype.str.replace("=", "<"), "shape": list(values.shape),
            "data": packed}  # fmt: skip
