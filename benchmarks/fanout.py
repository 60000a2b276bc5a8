"""What showing a run to many costs.

- `frame_cost_ratio`: CPU of the server for one live frame to one of 500 viewers, reading
  and encoding it included, over a bare `transport.write` of as many bytes to the same
  sockets in the same run. What the server uses while nothing moves (heartbeats, metrics)
  is measured too, and taken off both. The run stands still meanwhile: to look at a tape
  that grows costs the same whatever the number of viewers.
- `viewers_at_30hz`: live viewers at 30 frames a second, one core for the server, with the
  99th percentile of the lag under 100 ms and every frame of the run shown.
- `history_viewers_at_10x`: viewers that each replay history on a playhead of their own,
  100 steps a second, with the same lag.

The viewers are a process of their own (`benchmarks.crowd`), and so is the server, each on
one core where there are two. The lag of a frame is that of its oldest step behind an even
pace, as the viewer sees it.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gymnasium.spaces import Discrete

from benchmarks.crowd import Child
from benchmarks.measure import arguments, quartiles, report
from recorder import Channel, EpisodeRecorder

RATE = 30.0
COST_VIEWERS = 500
LAG_MS = 100.0
CHANNELS = (Channel("q_values", "float64", (4,)), Channel("explored", "bool"))


def recorder(folder: Path, name: str, rate: float) -> EpisodeRecorder:
    return EpisodeRecorder(
        folder,
        run_id=name,
        observation_space=Discrete(100),
        action_space=Discrete(4),
        channels=CHANNELS,
        presentation={"kind": "vector", "labels": None, "steps_per_second": rate},
    )


def record(run: EpisodeRecorder, steps: int) -> None:
    for step in range(steps):
        row = [step * 0.5, 1.0, -step * 0.25, 0.0]
        run.record_step(step % 100, step % 4, -1.0, q_values=row, explored=step % 5 == 0)


@contextmanager
def growing(run: EpisodeRecorder) -> Iterator[None]:
    """Its running episode grows, ahead of the playhead, while the block lasts."""
    stop = threading.Event()

    def grow() -> None:
        while not stop.wait(0.1):
            record(run, 10)
            run.flush()

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def cost(server: Child, crowd: Child, rounds: int, seconds: float) -> dict[str, Any]:
    """Windows of live frames, of nothing, and of bare writes, in turn."""
    crowd.ask(do="join", opens=[{"run": "live", "live": True}] * COST_VIEWERS)

    def window(run: str, **more: Any) -> tuple[float, dict[str, Any]]:
        crowd.ask(do="open", opens=[{"run": run, "live": True}])
        crowd.ask(do="measure", seconds=0.7, rate=RATE)  # greetings pass
        before = server.ask(do="cpu")["cpu"]
        if more:
            told = server.ask(do="bare", seconds=seconds, rate=RATE, **more)
            crowd.ask(do="measure", seconds=0.05, rate=RATE)
            return told["cpu"] - before, told
        told = crowd.ask(do="measure", seconds=seconds, rate=RATE)
        return server.ask(do="cpu")["cpu"] - before, told

    shown: list[float] = []
    floor: list[float] = []
    ratios: list[float] = []
    for _ in range(rounds):
        busy, told = window("live")
        idle, quiet = window("still")
        bare, written = window("still", bytes=360)
        # On a machine that is busy a few of the live run's frames come late.
        if quiet["frames"] > 0.05 * told["frames"] or not told["frames"]:
            raise RuntimeError(f"expected frames of the live run only, got {told}, {quiet}")
        shown.append((busy - idle) / told["frames"] * 1e6)
        floor.append((bare - idle) / written["frames"] * 1e6)
        ratios.append(shown[-1] / floor[-1])
    crowd.ask(do="leave")
    return {
        "frame_cost_ratio": statistics.median(ratios),
        "frame_cost_ratio_quartiles": quartiles(ratios),
        "frame_us": statistics.median(shown),
        "bare_write_us": statistics.median(floor),
        "frame_cost_viewers": COST_VIEWERS,
    }


def ladder(
    server: Child,
    crowd: Child,
    counts: Sequence[int],
    opens: Any,
    rate: float,
    seconds: float,
    own: bool = False,
) -> tuple[int, list[dict[str, Any]]]:
    """The most viewers that are shown all in time, and every rung."""
    most, rungs, joined = 0, [], 0
    for count in counts:
        crowd.ask(do="join", opens=[opens(number) for number in range(joined, count)])
        joined = count
        crowd.ask(do="measure", seconds=1.5, rate=rate)
        before = server.ask(do="cpu")["cpu"]
        told = crowd.ask(do="measure", seconds=seconds, rate=rate, own=own)
        told["server_cpu"] = (server.ask(do="cpu")["cpu"] - before) / seconds
        del told["frames"], told["messages"]
        rungs.append(told)
        in_time = told["lag_p99_ms"] is not None and told["lag_p99_ms"] < LAG_MS
        whole = told["viewers"] == count and not told["skips"]
        if in_time and whole and told["steps_per_viewer_s_least"] > 0.97 * rate:
            most = count
        else:
            break
    crowd.ask(do="leave")
    return most, rungs


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    quick = options.quick
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with recorder(folder, "archived", 10.0) as run:
            for _ in range(40):
                record(run, 8000)
                run.finish_episode(0, terminated=True)
        with recorder(folder, "live", RATE) as live, recorder(folder, "still", RATE) as still:
            record(live, 3000)
            record(still, 1)
            live.flush()
            still.flush()
            with Child("benchmarks.served", folder, core=0) as server:
                found = server.read()
                with Child("benchmarks.crowd", found["port"], found["token"], core=1) as crowd:
                    figures = cost(server, crowd, *((3, 2.0) if quick else (11, 3.0)))
                    with growing(live):
                        live_most, live_rungs = ladder(
                            server, crowd, (1000,) if quick else (1000, 2000, 3000, 4000, 5000),
                            lambda number: {"run": "live", "live": True}, RATE, 4 if quick else 10,
                        )  # fmt: skip
                    own_most, own_rungs = ladder(
                        server, crowd, (200,) if quick else (100, 200, 300, 400, 500),
                        lambda number: {
                            "run": "archived", "episode": number % 40, "speed": 10,
                            "step": number // 40 * 97, "live": False,
                        }, 100.0, 4 if quick else 10, own=True,
                    )  # fmt: skip
            live.finish_episode(0, truncated=True)
            still.finish_episode(0, truncated=True)
    report(
        {
            **figures,
            "viewers_at_30hz": live_most,
            "history_viewers_at_10x": own_most,
            "at_30hz": live_rungs,
            "at_10x": own_rungs,
        },
        options.json,
    )


if __name__ == "__main__":
    main()
