"""What the browser's tests share: `reel` as processes, and a page to look at.

The page is read through what a person sees, by its `data-testid` hooks; attributes carry
the numbers in full precision. It draws on the animation frame after an action, so whatever
is read is waited for: `expect`, `Viewer.until`, or `comes_to` where a value is computed.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.async_api import Locator, Page, expect

from recorder import Episode, Run

ANYTHING = re.compile(".")
# Seconds until something that never shows is a failure: as long as Playwright's own actions
# wait, for a machine whose cores are all busy.
PATIENCE = 30.0
expect.set_options(timeout=PATIENCE * 1000)
LOOK_AGAIN_S = 0.05


async def comes_to(read: Callable[[], Awaitable[object]], expected: object) -> None:
    """Wait until what `read` returns is `expected`, which may be a `pytest.approx`."""
    found = await read()
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while found != expected:
                await asyncio.sleep(LOOK_AGAIN_S)
                found = await read()
    assert found == expected


@asynccontextmanager
async def reel(*words: object, stdin: int | None = None) -> AsyncIterator[Process]:
    """A command as a person types it; what still runs at the end is stopped."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reel", *map(str, words), stdin=stdin, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            try:
                async with asyncio.timeout(PATIENCE):
                    await process.communicate()
            except TimeoutError:
                process.kill()
                await process.communicate()


async def train(runs_dir: Path, *words: object) -> dict[str, Any]:
    """Train to the end; what `--json` prints."""
    async with reel("train", "--runs-dir", runs_dir, "--json", *words) as process:
        out, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    summary: dict[str, Any] = json.loads(out)
    return summary


@dataclass
class Server:
    """`reel serve` in a process of its own."""

    runs_dir: Path
    url: str
    token: str
    process: Process

    @property
    def address(self) -> str:
        return f"{self.url}/?token={self.token}"

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def kill(self) -> None:
        """Without a goodbye, as a power cut would."""
        self.process.kill()
        await self.process.communicate()


TOKEN = "browsertests"


@asynccontextmanager
async def serving(
    runs_dir: Path, *, port: int = 0, token: str = TOKEN, read_only: bool = False
) -> AsyncIterator[Server]:
    words = ("serve", "--runs-dir", runs_dir, "--port", port, "--token", token, "--json")
    async with reel(*words, *(["--read-only"] if read_only else [])) as process:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await process.stdout.readline()
        if not line:
            assert process.stderr is not None
            raise AssertionError((await process.stderr.read()).decode())
        yield Server(runs_dir, json.loads(line)["url"], token, process)


# Read in one go, so that all of it is of one drawing.
MOMENT = """() => {
  const part = (name) => document.querySelector(`[data-testid="${name}"]`);
  const value = (element) => "value" in element.dataset ? Number(element.dataset.value) : null;
  const agent = part("agent-cell").dataset;
  return {
    episode: Number(part("episode-number").dataset.episode),
    step: Number(document.getElementById("inspector-step").textContent.replaceAll(",", "")),
    position: "row" in agent ? [Number(agent.row), Number(agent.column)] : null,
    observation: JSON.parse(agent.observation ?? "null"),
    action: part("action-name").dataset.action ?? null,
    explored: part("explored").hidden ? null : part("explored").textContent === "exploratory",
    reward: value(part("reward")),
    return_so_far: value(part("return-so-far")),
    q_values: [...part("q-values").children].map(value),
    length: part("step-total").textContent.replaceAll(",", ""),
  };
}"""


PICTURE = "document.getElementById('stage').toDataURL()"

# Notes what is shown whenever it changes.
WATCH = """() => {
  const part = (name) => document.querySelector(`[data-testid="${name}"]`);
  const number = (text) => /\\d/.test(text) ? Number(text.replace(/[^\\d.]/g, "")) : null;
  const ended = (row) => number(row.children[1].textContent) !== null;
  const under = (s, episode) => s.episode === episode && s.step !== s.length;
  let before = "";
  window.watched = [];
  const look = () => {
    const rows = [...document.querySelectorAll('[data-testid="episode-row"]:not([hidden])')];
    const episode = number(part("episode-number").textContent);
    const { state } = reel;
    const seen = {
      chip: part("state-chip").dataset.state,
      episode,
      step: Number(document.getElementById("step").value),
      length: number(part("step-total").textContent),
      // of the position in the inspector, which is the nearest that has come
      position: Number(document.getElementById("inspector-step").textContent.replaceAll(",", "")),
      observation: JSON.parse(part("agent-cell").dataset.observation ?? "null"),
      finished: Math.max(-1, ...rows.filter(ended).map((row) => Number(row.dataset.episode))),
      // how many episodes of the run are known to have ended, while this one is under way
      ended: under(state, episode) ? state.metrics?.episodes ?? null : null,
    };
    const now = JSON.stringify(seen);
    if (now === before) return;
    before = now;
    window.watched.push(seen);
  };
  const everything = { subtree: true, childList: true, characterData: true, attributes: true };
  new MutationObserver(look).observe(document.body, everything);
  look();
}"""


# Notes the last question that was asked of the server, and the last that was answered.
ANSWERS = """(() => {
  const { send } = WebSocket.prototype;
  const heard = new WeakSet();
  window.asked = window.answered = 0;
  WebSocket.prototype.send = function (text) {
    const [type, { id }] = JSON.parse(text);
    if (["open", "control", "step"].includes(type)) window.asked = id;
    if (!heard.has(this)) {
      heard.add(this);
      // behind the page's own listener: when it is noted, the page has taken it
      this.addEventListener("message", ({ data }) => {
        const answer = typeof data === "string" ? JSON.parse(data)[1].id : undefined;
        if (answer !== undefined) window.answered = Math.max(window.answered, answer);
      });
    }
    return send.call(this, text);
  };
})()"""


class Viewer:
    """One page, as a person uses it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.chip = self.part("state-chip")
        self.play = self.part("play")
        self.step = self.part("step-number")

    def part(self, testid: str) -> Locator:
        return self.page.get_by_test_id(testid)

    async def open(self, server: Server, **place: object) -> None:
        """Follow a link: `run`, `ep`, `step`, `speed`."""
        await self.page.goto(f"{server.address}#{urlencode(place)}")

    async def follow(self, **place: object) -> None:
        """Follow a link while the page is open."""
        await self.page.evaluate("hash => { location.hash = hash; }", urlencode(place))

    async def state(self) -> Any:
        return await self.page.evaluate("reel.state")

    async def watch(self) -> None:
        """From now on, note what is shown; `seen` tells."""
        await self.page.evaluate(WATCH)

    async def watch_from_the_first(self) -> None:
        """The same of the next page that is opened, from the moment it can tell anything."""
        begin = f"const begin = () => window.reel ? ({WATCH})() : requestAnimationFrame(begin);"
        await self.page.add_init_script(
            f"{begin} addEventListener('DOMContentLoaded', begin);",
        )

    async def seen(self) -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = await self.page.evaluate("watched")
        return seen

    async def until(self, condition: str, argument: object = None) -> None:
        """Wait for a JavaScript condition, `s` being what the page knows."""
        await self.page.wait_for_function(
            f"argument => {{ const s = reel.state; return {condition}; }}",
            arg=argument,
            timeout=PATIENCE * 1000,
        )

    async def shows(self, episode: int, step: int) -> None:
        """Wait until it rests at a position, and all of that is drawn."""
        await expect(self.part("episode-number")).to_have_attribute("data-episode", str(episode))
        await expect(self.page.locator("#inspector-step")).to_have_text(f"{step:,}")
        await expect(self.part("agent-cell")).to_have_attribute("data-observation", ANYTHING)
        await expect(self.play).not_to_have_attribute("aria-label", "Pause")

    async def moment(self) -> dict[str, Any]:
        moment: dict[str, Any] = await self.page.evaluate(MOMENT)
        return moment

    async def drawn(self) -> None:
        """Wait for the frame after the next, in which whatever was asked for is painted."""
        await self.page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    async def resting(self) -> None:
        """Wait until no answer is due, and nothing glides: the picture is the same twice."""
        before, now = None, ""
        async with asyncio.timeout(PATIENCE):
            while before != now:
                await self.drawn()
                await self.page.wait_for_function("() => !reel.due")
                before, now = now, await self.page.evaluate(PICTURE)

    async def answered(self) -> None:
        """Wait until the server has answered whatever was asked, and that is drawn: what it
        sent before has come too."""
        await self.page.wait_for_function("() => answered >= asked", timeout=PATIENCE * 1000)
        await self.drawn()

    async def value(self, testid: str) -> float | None:
        """The number that a part shows, in full precision; None while it shows none."""
        text = await self.part(testid).get_attribute("data-value")
        return None if text is None else float(text)

    async def box(self, part: Locator) -> dict[str, float]:
        """Where a part is (`x`, `y`, `width`, `height` in px), once it stays there."""
        before, now = None, await part.bounding_box()
        async with asyncio.timeout(PATIENCE):
            while now is None or before != now:
                await self.drawn()
                before, now = now, await part.bounding_box()
        return {**now}

    async def reads_as(self, tape: Run, episode: int, step: int) -> None:
        """Wait for a position, and compare every figure with the tape."""
        await self.shows(episode, step)
        await comes_to(self.moment, on_tape(tape, tape.load(episode), step))


def on_tape(tape: Run, episode: Episode, step: int) -> dict[str, Any]:
    """What the page has to read at a position."""
    grid = tape.info.presentation
    observation = int(episode.observations[step])
    cell = observation // grid["observation"]["divisor"]
    at_end = step == episode.length
    nothing = [None] * len(grid["actions"])
    return {
        "episode": episode.episode,
        "step": step,
        "position": list(divmod(cell, grid["columns"])),
        "observation": observation,
        "action": None if at_end else str(episode.actions[step]),
        "explored": None if at_end else bool(episode.channels["explored"][step]),
        "reward": None if at_end else float(episode.rewards[step]),
        # whole numbers in all of these worlds, so that sums in any order are the same
        "return_so_far": float(episode.rewards[:step].sum()),
        "q_values": nothing if at_end else episode.channels["q_values"][step].tolist(),
        "length": str(episode.length),
    }
