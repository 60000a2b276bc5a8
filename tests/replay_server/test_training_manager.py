"""Trainer processes: several at once, and none that harms another, whatever befalls it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from server_kit import PATIENCE

from replay_server.training import link, service, trainee
from replay_server.training.errors import TrainingError
from replay_server.training.manager import FOLDER, Manager, TrainingConfig

FAKE = (sys.executable, str(Path(__file__).parent / "fake_trainer.py"))


class News:
    """What a manager told, and waiting for more of it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, Any]]] = []
        self._more = asyncio.Event()

    def __call__(self, training: trainee.Trainee, name: str, data: dict[str, Any]) -> None:
        self.told.append((training.id, name, data))
        self._more.set()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def managing(runs_dir: Path, **config: Any) -> AsyncIterator[tuple[Manager, News]]:
    news = News()
    manager = Manager(runs_dir, TrainingConfig(**{"command": FAKE, **config}), news)
    await manager.open()
    try:
        yield manager, news
    finally:
        await manager.close()


def alive(pid: int) -> bool:
    """Whether it runs: one that has ended and that nobody has waited for does not."""
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def gone(pid: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while alive(pid):
            await asyncio.sleep(0.01)


async def test_a_training_is_started_steered_and_ended(runs_dir: Path) -> None:
    async with managing(runs_dir) as (manager, news):
        one = await manager.start({"name": "one", "hazards": False}, "balanced")
        assert one.run == "one"
        assert one.state == "running"
        argv = one.parameters
        assert argv == {"name": "one", "hazards": False, "learning_rate": 0.1, "discount": 0.95,
                        "epsilon": 1.0}  # fmt: skip
        await news.until(lambda: len(one.history) > 2)
        await manager.command(one, "pause")
        assert one.state == "paused"
        answer = await manager.change(one, {"epsilon": 0.25})
        assert answer["got"] == {"set": {"epsilon": 0.25}}
        assert one.parameters["epsilon"] == 0.25
        await manager.command(one, "resume")
        with pytest.raises(TrainingError, match="it is running") as caught:
            await manager.command(one, "resume")
        assert caught.value.code == "wrong_state"
        await manager.stop(one)
        assert one.state == "ended"
        assert not alive(one.pid)
        for again in (manager.stop(one), manager.command(one, "pause")):
            with pytest.raises(TrainingError, match="has ended"):
                await again


async def test_history_is_bounded(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainee, "HISTORY", 5)
    async with managing(runs_dir) as (manager, news):
        one = await manager.start({"name": "one"})
        await news.until(lambda: one.figures.get("episode", 0) > 8)
        assert len(one.history) == 5
        assert one.history[-1] is one.figures


async def test_the_same_training_twice_and_too_many_are_refused(runs_dir: Path) -> None:
    async with managing(runs_dir, max_trainers=2) as (manager, _):
        await manager.start({"name": "one"})
        for twin in ({"name": "one"}, {"name": "one", "seed": 5}):
            with pytest.raises(TrainingError, match="is running") as caught:
                await manager.start(twin)
            assert caught.value.code == "already_running"
        both = await asyncio.gather(
            manager.start({"name": "two"}), manager.start({"name": "three"}), return_exceptions=True
        )
        refusals = [result for result in both if isinstance(result, TrainingError)]
        assert [refusal.code for refusal in refusals] == ["too_many_trainers"]
        assert "--max-trainers" in str(refusals[0])


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ({"episodes": 0}, "bad_parameter", "from 1 to 1,000,000,000, got 0"),
        ({"episodes": 2.5}, "bad_parameter", "a whole number"),
        ({"episodes": True}, "bad_parameter", "a whole number"),
        ({"episodes": "ten"}, "bad_parameter", 'got "ten"'),
        ({"epsilon": float("nan")}, "bad_parameter", "above 0 and at most 1"),
        ({"epsilon": float("inf")}, "bad_parameter", "above 0 and at most 1"),
        ({"epsilon": 0}, "bad_parameter", "above 0 and at most 1, got 0"),
        ({"epsilon": 1.01}, "bad_parameter", "got 1.01"),
        ({"epsilon": None}, "bad_parameter", "got null"),
        ({"epsilon": [1]}, "bad_parameter", "got an array of 1"),
        ({"algorithm": "magic"}, "bad_parameter", "one of q-learning, sarsa"),
        ({"hazards": 1}, "bad_parameter", "true or false"),
        ({"env_kwargs": "x"}, "bad_parameter", "an object"),
        ({"env_kwargs": {"x": "y" * 40000}}, "bad_parameter", "an object"),
        ({"name": " "}, "bad_parameter", "not empty"),
        ({"name": "x" * 201}, "bad_parameter", "not empty"),
        ({"name": "a\nb"}, "bad_parameter", "not empty"),
        ({"curriculum": "/etc/passwd"}, "bad_parameter", "one of starts"),
        ({"learning rate": 1}, "bad_parameter", "correct the name"),
        ({"name": "refuse"}, "training_failed", "the map cannot be solved"),
    ],
)
async def test_what_cannot_be_started_says_why_and_leaves_nothing(
    runs_dir: Path, given: dict[str, Any], code: str, words: str
) -> None:
    async with managing(runs_dir) as (manager, _):
        with pytest.raises(TrainingError) as caught:
            await manager.start(given)
        assert caught.value.code == code
        assert words in str(caught.value)
        assert manager.trainees == []
        with pytest.raises(TrainingError, match="balanced"):
            await manager.start({}, "reckless")


async def test_structural_parameters_are_locked(runs_dir: Path) -> None:
    async with managing(runs_dir) as (manager, _):
        one = await manager.start({"name": "one"})
        for given in ({"seed": 3}, {"epsilon": 0.5, "algorithm": "sarsa"}):
            with pytest.raises(TrainingError, match="locked") as caught:
                await manager.change(one, given)
            assert caught.value.code == "locked_parameter"
        for given in ({}, {"epsilon": 3}, {"epsilon": 0.5, "none": 1}):
            with pytest.raises(TrainingError) as caught:
                await manager.change(one, given)
            assert caught.value.code == "bad_parameter"
        assert one.parameters == {"name": "one"}


async def test_a_crash_is_told_with_the_log_and_harms_nobody(runs_dir: Path) -> None:
    async with managing(runs_dir) as (manager, news):
        well = await manager.start({"name": "well"})
        await manager.start({"name": "crash"})
        crashed = manager.find("crash")
        await news.until(lambda: crashed.state == "failed")
        assert crashed.last_lines == ["about to fall", "Traceback: it fell"]
        assert "exit code 3" in str(crashed.problem)
        assert (await manager.command(well, "pause"))["status"] == "paused"
        assert manager.find(None) is well


async def test_what_a_trainer_says_names_no_place_on_the_server(runs_dir: Path) -> None:
    """A run's files are named from the runs directory on, others by their last name."""
    async with managing(runs_dir) as (manager, news):
        with pytest.raises(TrainingError) as caught:
            await manager.start({"name": "lost"})
        said = [str(caught.value)]
        fallen = await manager.start({"name": "fallen"})
        await news.until(lambda: fallen.state == "failed")
        assert fallen.last_lines == ['File "place.py"', "Traceback: x/run.db and place.py"]
        said.append(str(fallen.problem))
        telling = await manager.start({"name": "tell"})
        with pytest.raises(TrainingError) as caught:
            await manager.command(telling, "save")
        said.append(str(caught.value))
        (warning,) = [data for _, name, data in news.told if name == "warning"]
        kind, data = service.news(telling, "warning", warning) or ("", {})
        assert kind == "training_warning"
        said.append(data["message"])
    for text in said:
        assert "x/run.db and place.py" in text
        assert "hidden" not in text
        assert str(runs_dir) not in text


async def test_a_killed_trainer_is_seen_and_harms_nobody(runs_dir: Path) -> None:
    async with managing(runs_dir) as (manager, news):
        well, victim = [await manager.start({"name": name}) for name in ("well", "victim")]
        os.kill(victim.pid, signal.SIGKILL)
        await news.until(lambda: victim.state == "failed")
        assert "SIGKILL" in str(victim.problem)
        before = well.figures
        await news.until(lambda: well.figures != before)


async def test_one_that_hangs_is_marked_and_can_be_ended(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SILENCE_SECONDS", "STOP_SECONDS", "ANSWER_SECONDS"):
        monkeypatch.setattr(trainee, name, 0.2)
    async with managing(runs_dir) as (manager, news):
        hung = await manager.start({"name": "hang"})
        deaf = await manager.start({"name": "deaf"})
        stubborn = await manager.start({"name": "stubborn"})
        await news.until(lambda: hung.silent)
        assert hung.describe()["silent"]
        with pytest.raises(TrainingError) as caught:
            await manager.command(deaf, "pause")
        assert caught.value.code == "no_answer"
        await manager.stop(stubborn)
        await manager.stop(hung)
        for one in (hung, stubborn):
            assert one.state in ("ended", "failed")
            assert not alive(one.pid)


async def test_what_a_trainer_says_beside_the_protocol_is_passed_over(runs_dir: Path) -> None:
    async with managing(runs_dir) as (manager, news):
        noisy = await manager.start({"name": "noise"})
        await news.until(lambda: len(noisy.history) > 2)
        assert noisy.state == "running"


async def test_a_training_that_is_done_says_so(runs_dir: Path) -> None:
    async with managing(runs_dir) as (manager, news):
        short = await manager.start({"name": "short", "episodes": 2})
        await news.until(lambda: short.state == "ended")
        assert short.outcome == "complete"
        assert short.problem is None


async def test_closing_ends_all_trainers_at_once(runs_dir: Path) -> None:
    async with managing(runs_dir) as (manager, _):
        pids = [(await manager.start({"name": name})).pid for name in ("one", "two", "three")]
    assert not any(map(alive, pids))


async def test_ten_starts_and_stops_leave_nothing_behind(runs_dir: Path) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    for detach in (False, True):
        async with managing(runs_dir, detach=detach) as (manager, _):
            await manager.stop(await manager.start({"name": "first"}))
            before = descriptors()
            pids = []
            for number in range(10):
                one = await manager.start({"name": f"n{number}"})
                pids.append(one.pid)
                await manager.stop(one)
            assert not any(map(alive, pids))
            assert descriptors() <= before
            assert len(manager.trainees) <= 9
        place = runs_dir / FOLDER
        assert not place.exists() or list(place.iterdir()) == []


async def test_detached_trainings_go_on_and_are_found_again(runs_dir: Path) -> None:
    async with managing(runs_dir, detach=True) as (manager, news):
        one = await manager.start({"name": "one", "seed": 7})
        await manager.change(one, {"epsilon": 0.125})
        await manager.pace(one, 5.0, "episode")
        await news.until(lambda: one.history)
        two = await manager.start({"name": "two"})
        os.kill(two.pid, signal.SIGKILL)
        await news.until(lambda: two.state == "failed")
    assert alive(one.pid)
    async with managing(runs_dir, detach=True) as (again, news):
        assert [found.id for found in again.trainees] == [one.id]
        found = again.find("one")
        assert found.parameters == {"name": "one", "seed": 7, "epsilon": 0.125}
        await news.until(lambda: found.history)
        async with managing(runs_dir) as (other, _):
            assert other.trainees == [], "one server at a time has it"
        assert (await again.command(found, "pause"))["status"] == "paused"
    assert alive(one.pid)
    async with managing(runs_dir) as (last, news):
        found = last.find("one")
        assert found.pid == one.pid
        await news.until(lambda: found.state == "paused")  # of which it says nothing by itself
        assert found.speed == {"per_second": 5.0, "unit": "episode"}
    await gone(one.pid)  # found, and ended with a server that does not detach
    assert list((runs_dir / FOLDER).iterdir()) == []


async def test_one_that_ended_alone_is_not_found(runs_dir: Path) -> None:
    async with managing(runs_dir, detach=True) as (manager, _):
        one = await manager.start({"name": "one"})
    os.kill(one.pid, signal.SIGKILL)
    os.waitpid(one.pid, 0)
    async with managing(runs_dir, detach=True) as (again, _):
        assert again.trainees == []
    assert list((runs_dir / FOLDER).iterdir()) == []


async def test_a_server_without_leave_starts_nothing(runs_dir: Path) -> None:
    async with managing(runs_dir, off="is --read-only") as (manager, _):
        with pytest.raises(TrainingError, match="read-only") as caught:
            await manager.start({})
        assert caught.value.code == "training_off"


async def test_a_training_command_that_does_not_work_is_told(runs_dir: Path) -> None:
    for command in ((str(runs_dir / "none"),), (sys.executable, "-c", "raise SystemExit(1)")):
        async with managing(runs_dir, command=command) as (manager, _):
            with pytest.raises(TrainingError) as caught:
                await manager.start({})
            assert caught.value.code == "training_failed"
            assert str(Path(command[0]).parent) not in str(caught.value)


def test_lines_of_a_log_are_fit_to_be_shown() -> None:
    assert link._shown(b"a\x1b[31mb\xff" + b"c" * 1000) == ("a[31mb\ufffd" + "c" * 1000)[:400]
