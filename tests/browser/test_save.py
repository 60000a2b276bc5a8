"""What is taken away from the page is what is on the tape, and on the stage."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from playwright.async_api import expect

from browser.kit import Server, Viewer, serving
from recorder import Channel, Episode, EpisodeRecorder, open_run

EPISODE, STEP = 4990, 3


@pytest.fixture
async def opened(archive: Server, viewer: Viewer) -> Viewer:
    await viewer.open(archive, run="medium", ep=EPISODE, step=STEP)
    await viewer.shows(EPISODE, STEP)
    return viewer


@pytest.fixture
def taped(archive: Server) -> Episode:
    with open_run(archive.runs_dir / "medium") as run:
        return run.load(EPISODE)


async def save(viewer: Viewer, what: str) -> tuple[str, bytes]:
    await viewer.part("save").click()
    async with viewer.page.expect_download(timeout=120_000) as coming:
        await viewer.part(f"save-{what}").click()
    file = await coming.value
    return file.suggested_filename, Path(await file.path()).read_bytes()


async def test_the_episode_as_json_csv_and_npz(opened: Viewer, taped: Episode) -> None:
    stem = f"medium-episode-{EPISODE}"
    name, data = await save(opened, "json")
    assert name == f"{stem}.json"
    assert json.loads(data)["columns"]["action"]["data"] == taped.actions.tolist()
    name, data = await save(opened, "csv")
    assert name == f"{stem}.csv"
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert [int(row["observation"]) for row in rows] == taped.observations.tolist()
    name, data = await save(opened, "npz")
    assert name == f"{stem}.npz"
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        np.testing.assert_array_equal(file["q_values"], taped.channels["q_values"])


async def test_the_stage_as_png_is_the_picture_on_an_even_ground(opened: Viewer) -> None:
    await opened.resting()
    name, data = await save(opened, "png")
    assert name == f"medium-episode-{EPISODE}-step-{STEP}.png"
    assert data.startswith(b"\x89PNG")
    same = await opened.page.evaluate(
        """async (text) => {
          const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          const shown = document.getElementById("stage");
          const file = await createImageBitmap(new Blob([bytes]));
          const canvas = new OffscreenCanvas(file.width, file.height);
          const context = canvas.getContext("2d");
          context.drawImage(file, 0, 0);
          const saved = context.getImageData(0, 0, file.width, file.height).data;
          const stage = shown.getContext("2d").getImageData(0, 0, shown.width, shown.height).data;
          if (saved.length !== stage.length) return "another size";
          for (let i = 0; i < saved.length; i += 4) {
            if (saved[i + 3] !== 255) return "see-through";
            if (stage[i + 3] === 255 && Math.abs(saved[i] - stage[i]) > 1) return "another picture";
          }
          return "the same";
        }""",
        base64.b64encode(data).decode(),
    )
    assert same == "the same"


async def test_the_episode_as_gif_has_a_picture_for_each_position(
    opened: Viewer, taped: Episode
) -> None:
    name, data = await save(opened, "gif")
    assert name == f"medium-episode-{EPISODE}.gif"
    await expect(opened.page.locator("#save-progress")).to_be_hidden()
    # Chromium decodes it: that many pictures, and the agent is elsewhere in each.
    pictures = await opened.page.evaluate(
        """async (text) => {
          const data = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          const decoder = new ImageDecoder({ data, type: "image/gif" });
          await decoder.tracks.ready;
          const { frameCount } = decoder.tracks.selectedTrack;
          const seen = new Set();
          for (let frameIndex = 0; frameIndex < frameCount; frameIndex += 1) {
            const { image } = await decoder.decode({ frameIndex });
            const canvas = new OffscreenCanvas(image.displayWidth, image.displayHeight);
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
            seen.add(data.reduce((hash, byte) => (hash * 31 + byte) | 0, 7));
          }
          return { frameCount, different: seen.size, side: 480 };
        }""",
        base64.b64encode(data).decode(),
    )
    assert pictures["frameCount"] == taped.length + 1
    assert pictures["different"] == pictures["frameCount"]
    await opened.shows(EPISODE, STEP)  # the page itself did not move


async def test_a_link_is_copied(opened: Viewer) -> None:
    await opened.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await opened.part("save").click()
    await opened.part("save-link").click()
    await expect(opened.part("toast")).to_contain_text("Link copied")
    link = await opened.page.evaluate("navigator.clipboard.readText()")
    assert link.endswith(f"#run=medium&ep={EPISODE}&step={STEP}")


async def test_the_menu_opens_and_closes_by_keyboard(opened: Viewer) -> None:
    await opened.part("save").focus()
    await opened.page.keyboard.press("Enter")
    await expect(opened.part("save-json")).to_be_focused()
    await opened.page.keyboard.press("Escape")
    await expect(opened.part("save-json")).to_be_hidden()
    await expect(opened.part("save")).to_be_focused()


SIDE, STEPS = 160, 130


def picture_at(step: int) -> np.ndarray[Any, Any]:
    """A red square that walks from the top left to the bottom right of a black ground."""
    frame = np.zeros((SIDE, SIDE, 3), np.uint8)
    row, column = divmod(step, 12)
    frame[12 * row : 12 * row + 12, 12 * column : 12 * column + 12, 0] = 255
    return frame


@pytest.fixture(scope="module")
async def filmed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """An episode with a picture for each step, more of them than a page holds at once."""
    runs_dir = tmp_path_factory.mktemp("filmed")
    with EpisodeRecorder(
        runs_dir,
        run_id="filmed",
        observation_space=spaces.Discrete(STEPS + 1),
        action_space=spaces.Discrete(2),
        channels=(Channel("frame", "uint8", (SIDE, SIDE, 3)),),
    ) as recorder:
        for step in range(STEPS):
            recorder.record_step(step, 0, 1.0, frame=picture_at(step))
        recorder.finish_episode(STEPS, terminated=True, truncated=False)
    async with serving(runs_dir) as server:
        yield server


async def test_an_episode_of_recorded_pictures_as_gif(filmed: Server, viewer: Viewer) -> None:
    await viewer.open(filmed, run="filmed", ep=0, step=5)
    await viewer.shows(0, 5)
    name, data = await save(viewer, "gif")
    assert name == "filmed-episode-0.gif"
    pictures = await viewer.page.evaluate(
        """async (text) => {
          const data = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          const decoder = new ImageDecoder({ data, type: "image/gif" });
          await decoder.tracks.ready;
          const { frameCount } = decoder.tracks.selectedTrack;
          const places = [];
          for (const frameIndex of [0, 64, 129, 130]) {
            const { image } = await decoder.decode({ frameIndex });
            const canvas = new OffscreenCanvas(image.displayWidth, image.displayHeight);
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
            const red = (byte, i) => i % 4 === 0 && byte > 200 && data[i + 1] < 60;
            const at = data.findIndex(red) / 4;
            places.push([Math.floor(at / canvas.width), at % canvas.width]);
          }
          return { frameCount, places };
        }""",
        base64.b64encode(data).decode(),
    )
    assert pictures["frameCount"] == STEPS + 1
    first, middle, last, end = pictures["places"]
    assert middle[0] > first[0]
    assert last[0] > middle[0]
    assert end == last  # behind the last step the last picture stays
