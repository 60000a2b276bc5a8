"""Make the golden tape of this version of the tables, and beside it what it holds.

    python tests/golden/make_golden.py

Run once for each new `schema.VERSION`, and never again for an old one: the files are what
that version wrote.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from gymnasium import spaces

from recorder import Channel, EpisodeRecorder, open_run, schema

HERE = Path(__file__).parent


def main() -> None:
    place = HERE / f"version-{schema.VERSION}"
    if place.exists():
        raise SystemExit(f"{place} is there already")
    with tempfile.TemporaryDirectory() as folder:
        recorder = EpisodeRecorder(
            folder,
            run_id="golden",
            observation_space=spaces.Discrete(9),
            action_space=spaces.Discrete(4),
            channels=[Channel("q_values", "float64", (4,)), Channel("explored", "bool")],
            algorithm="q-learning",
            hyperparameters={"learning_rate": 0.1},
            seed=7,
            redact=["host", "user", "git", "packages", "platform", "argv", "pid"],
        )
        told: list[dict] = []
        step = 0
        for number in range(70):  # more than the smallest roll-up
            length = 1 + number % 5
            for at in range(step, step + length):
                recorder.record_step(
                    at % 9, at % 4, at / 4 - 1,
                    q_values=[at / 8, -at / 8, 0.1, float("inf")], explored=at % 3 == 0,
                )  # fmt: skip
            recorder.finish_episode(
                (step + length) % 9, terminated=number % 3 == 0, truncated=number % 3 == 1,
                epsilon=1 / (1 + number), stage="maze" if number > 60 else None,
                tags=("a", "b") if number == 69 else (), duration_s=0.5,
            )  # fmt: skip
            step += length
        recorder.event("note", "half-way", step=step)
        recorder.close()
        with open_run(recorder.path) as run:
            for number in range(70):
                episode, summary = run.load(number), run.episode(number)
                told.append({
                    "observations": episode.observations.tolist(),
                    "actions": episode.actions.tolist(),
                    "rewards": episode.rewards.tolist(),
                    "q_values": episode.channels["q_values"].tolist(),
                    "ending": summary.ending,
                    "epsilon": summary.epsilon,
                    "stage": summary.stage,
                    "tags": list(summary.tags),
                })  # fmt: skip
            contents = {
                "events": [event.kind for event in run.events()],
                "hyperparameters": run.info.hyperparameters,
                "episodes": told,
            }
        place.mkdir()
        shutil.copyfile(recorder.path / "run.db", place / "run.db")
    (HERE / f"version-{schema.VERSION}.json").write_text(json.dumps(contents) + "\n")


if __name__ == "__main__":
    main()
