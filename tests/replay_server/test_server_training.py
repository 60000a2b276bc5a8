"""Training over the WebSocket and over HTTP: each message, each route, and what they refuse."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from server_kit import PATIENCE, Client, Connect, bearer, record_run

from replay_server import ReplayServer, ServerConfig
from replay_server.training.manager import TrainingConfig
from replay_server.training.routes import POSTS

Serve = Callable[..., Awaitable[tuple[asyncio.subprocess.Process, str, dict[str, str]]]]
FAKE = (sys.executable, str(Path(__file__).parent / "fake_trainer.py"))


@pytest.fixture
async def training(runs_dir: Path) -> AsyncIterator[ReplayServer]:
    """A server whose trainers are the fake ones."""
    config = ServerConfig(runs_dir=runs_dir, port=0, training=TrainingConfig(command=FAKE))
    async with ReplayServer(config) as server:
        yield server


@pytest.fixture
async def client(training: ReplayServer, connect: Connect) -> Client:
    return await connect(training)


async def ask(client: Client, answer: str, kind: str, **data: Any) -> dict[str, Any]:
    return await client.until(answer, id=await client.send(kind, **data))


async def post(server: ReplayServer, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
        session.post(path, json={} if body is None else body) as answer,
    ):
        return answer.status, await answer.json()


async def get(server: ReplayServer, path: str) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
        session.get(path) as answer,
    ):
        data: dict[str, Any] = await answer.json()
        return data


async def test_every_message_is_answered_and_told_to_all(
    training: ReplayServer, client: Client, connect: Connect
) -> None:
    other = await connect(training)
    started = await ask(
        client, "training_started", "start_training", parameters={"name": "one"}, preset="balanced"
    )
    assert started["run"] == "one"
    assert started["state"] == "running"
    assert started["parameters"]["discount"] == 0.95
    which = started["training"]
    assert (await other.until("training_started"))["training"] == which
    update = await other.until("training_update")
    assert update["figures"]["episodes"] == 1000
    paused = await ask(client, "training", "pause_training", training=which)
    assert paused["state"] == "paused"
    await other.until("training", state="paused")
    assert (await ask(client, "training", "step_training", by=2, unit="episode"))["run"] == "one"
    fast = await ask(client, "training", "training_speed", per_second=5, unit="episode")
    assert fast["speed"] == {"per_second": 5, "unit": "episode"}
    full = await ask(client, "training", "training_speed")
    assert full["speed"]["per_second"] is None
    await ask(client, "training", "reset", training="one")
    changed = await ask(client, "training", "update_params", parameters={"epsilon": 0.125})
    assert changed["parameters"]["epsilon"] == 0.125
    await other.until("training", speed={"per_second": None, "unit": "step"})
    saved = await ask(client, "qtable_saved", "save_qtable", name="good")
    assert saved["name"] == "good"
    assert (await other.until("qtable_saved"))["name"] == "good"
    resumed = await ask(client, "training", "resume_training")
    assert resumed["state"] == "running"
    stopped = await ask(client, "training_stopped", "stop_training", training=which)
    assert stopped["state"] == "ended"
    assert stopped["outcome"] == "stopped"
    await other.until("training_stopped", training=which)
    await client.send("start_training", parameters={"name": "short", "episodes": 2})
    complete = await client.until("training_complete")
    assert complete["totals"]["episodes"] == 2


async def test_every_route_does_what_its_message_does(training: ReplayServer) -> None:
    status, started = await post(training, "/api/training/start", {"parameters": {"name": "one"}})
    assert (status, started["run"]) == (200, "one")
    overview = await get(training, "/api/training")
    assert overview["allowed"]
    assert [one["training"] for one in overview["trainings"]] == [started["training"]]
    for path, body, field, value in (
        ("/api/training/pause", {}, "state", "paused"),
        ("/api/training/step", {"by": 1}, "state", "paused"),
        ("/api/training/speed", {"per_second": 9}, "speed", {"per_second": 9, "unit": "step"}),
        ("/api/training/reset", {"training": "one"}, "run", "one"),
        ("/api/params", {"parameters": {"epsilon": 0.5}}, "run", "one"),
        ("/api/training/save", {"name": "a"}, "name", "a"),
        ("/api/training/resume", {}, "state", "running"),
    ):
        status, answer = await post(training, path, body)
        assert status == 200, (path, answer)
        assert answer[field] == value
    async with asyncio.timeout(PATIENCE):
        path = f"/api/training/{started['training']}/history"
        while not (await get(training, path))["updates"]:
            await asyncio.sleep(0.02)
    assert (await get(training, "/api/training/schema"))["presets"]["balanced"]
    status, ended = await post(training, "/api/training/stop")
    assert (status, ended["state"]) == (200, "ended")
    assert set(POSTS) == {
        f"/api/training/{name}"
        for name in ("start", "pause", "resume", "stop", "reset", "step", "speed", "save", "load")
    } | {"/api/params"}


async def test_a_link_in_place_of_a_folder_of_tables_leads_nowhere(
    training: ReplayServer, runs_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A run that came from elsewhere may link to any directory."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.npy").write_bytes(b"x")
    record_run(runs_dir, "linked", [1])
    (runs_dir / "linked" / "checkpoints").symlink_to(outside)
    assert (await get(training, "/api/training/checkpoints"))["checkpoints"] == []
    status, answer = await post(
        training, "/api/training/start", {"load": {"run": "linked", "name": "secret"}}
    )
    assert (status, answer["error"]["code"]) == (400, "bad_qtable")


async def test_saved_tables_are_listed_and_loaded_by_name_only(
    training: ReplayServer, runs_dir: Path
) -> None:
    record_run(runs_dir, "old", [1])
    record_run(runs_dir, "one", [1])
    folder = runs_dir / "old" / "checkpoints"
    folder.mkdir()
    for name in ("final.npy", ".hidden.npy", "BAD.npy", "a.txt"):
        (folder / name).write_bytes(b"x")
    (folder / "link.npy").symlink_to("/etc/passwd")
    listed = (await get(training, "/api/training/checkpoints"))["checkpoints"]
    assert [(table["run"], table["name"]) for table in listed] == [("old", "final")]
    status, started = await post(
        training, "/api/training/start",
        {"parameters": {"name": "one"}, "load": {"run": "old", "name": "final"}},
    )  # fmt: skip
    assert status == 200
    status, loaded = await post(training, "/api/training/load", {"run": "old", "name": "final"})
    assert (status, loaded["name"]) == (200, "final")
    for bad in (
        {"name": "final"}, {"run": "old", "name": "../final"}, {"run": "..", "name": "final"},
        {"run": "old", "name": "link"}, {"run": "old"}, {"run": "none", "name": "final"},
        {"run": "old", "name": "/etc/passwd"}, {"run": "old", "name": "final.npy"},
    ):  # fmt: skip
        status, answer = await post(training, "/api/training/load", bad)
        assert (status, answer["error"]["code"]) == (400, "bad_qtable"), bad
        status, answer = await post(training, "/api/training/start", {"load": bad})
        assert (status, answer["error"]["code"]) == (400, "bad_qtable"), bad
    for name in ("../up", "a/b", "", "A", "x" * 65, "a.npy"):
        status, answer = await post(training, "/api/training/save", {"name": name})
        assert (status, answer["error"]["code"]) == (400, "bad_qtable"), name
    assert (await get(training, "/api/training"))["trainings"][0]["state"] == "running"
    assert started["run"] == "one"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("start", {"parameters": {"episodes": 0}}, 400, "bad_parameter"),
        ("start", {"parameters": {"epsilon": "1"}}, 400, "bad_parameter"),
        ("start", {"parameters": [1]}, 400, "bad_field"),
        ("start", {"parameters": {"env": "os:GridWorld-v0"}}, 400, "bad_parameter"),
        ("start", {"parameters": {"env": ":GridWorld-v0"}}, 400, "bad_parameter"),
        ("start", {"preset": "reckless"}, 400, "bad_parameter"),
        ("start", {"preset": 3}, 400, "bad_field"),
        ("start", {"load": "x"}, 400, "bad_field"),
        ("start", {"parameters": {"name": "refuse"}}, 400, "training_failed"),
        ("pause", {}, 404, "no_training"),
        ("resume", {"training": "none"}, 404, "no_training"),
        ("stop", {"training": 3}, 400, "bad_field"),
        ("step", {"by": 1.5}, 400, "bad_field"),
        ("speed", {"per_second": "fast"}, 400, "bad_field"),
        ("start", [], 400, "bad_message"),
        ("start", "x", 400, "bad_message"),
    ],
)
async def test_bad_input_is_a_clear_error(
    training: ReplayServer, path: str, body: Any, status: int, code: str
) -> None:
    came, answer = await post(training, f"/api/training/{path}", body)
    assert (came, answer["error"]["code"]) == (status, code)
    assert "expected" in answer["error"]["message"] or code == "training_failed"
    assert (await get(training, "/api/training"))["trainings"] == []


async def test_a_start_from_afar_imports_no_module(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`module:id` is for who types at this machine; here it is refused before any process."""
    (tmp_path / "innocent.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
        status, answer = await post(
            server, "/api/training/start", {"parameters": {"env": "innocent:GridWorld-v0"}}
        )
    assert (status, answer["error"]["code"]) == (400, "bad_parameter")
    assert "without a module" in answer["error"]["message"]
    assert "innocent:GridWorld-v0" in answer["error"]["message"]
    assert not (tmp_path / "imported").exists()
    assert not list(runs_dir.iterdir())


async def test_bodies_that_are_no_json(training: ReplayServer) -> None:
    async with aiohttp.ClientSession(training.url, headers=bearer(training)) as session:
        for text in ("{", '{"parameters": {"epsilon": NaN}}', "[" * 100_000, "\xff"):
            headers = {"Content-Type": "application/json"}
            async with session.post(
                "/api/training/start", data=text.encode("latin-1"), headers=headers
            ) as answer:
                assert answer.status in (400, 413), text[:20]


async def test_commands_in_the_wrong_order(client: Client) -> None:
    async def refusal(kind: str, **data: Any) -> str:
        code: str = (await ask(client, "error", kind, **data))["code"]
        return code

    assert await refusal("stop_training") == "no_training"
    started = await ask(client, "training_started", "start_training", parameters={"name": "one"})
    which = started["training"]
    assert await refusal("start_training", parameters={"name": "one"}) == "already_running"
    assert await refusal("resume_training") == "wrong_state"
    assert await refusal("update_params", parameters={"seed": 1}) == "locked_parameter"
    assert await refusal("update_params", parameters={"epsilon": 7}) == "bad_parameter"
    assert await refusal("update_params") == "bad_parameter"
    assert await refusal("training_speed", per_second=1, unit="mile") == "bad_parameter"
    await ask(client, "training_stopped", "stop_training")
    for kind in ("stop_training", "pause_training", "resume_training", "reset", "save_qtable"):
        assert await refusal(kind, training=which) == "wrong_state", kind


async def test_a_killed_trainer_is_told_with_its_log(client: Client) -> None:
    started = await ask(client, "training_started", "start_training", parameters={"name": "one"})
    await client.send("start_training", parameters={"name": "crash"})
    failed = await client.until("training_stopped", run="crash")
    assert failed["state"] == "failed"
    assert failed["log"] == ["about to fall", "Traceback: it fell"]
    assert (await ask(client, "training", "pause_training"))["training"] == started["training"]


async def test_playback_goes_on_while_a_training_starts(client: Client) -> None:
    start = await client.send("start_training", parameters={"name": "one"})
    ping = await client.send("ping", t=1)
    messages = await client.collect("training_started", id=start)
    assert ("pong", {"id": ping, "t": 1}) in messages


@pytest.mark.parametrize(
    "config",
    [{"read_only": True}, {"host": "0.0.0.0", "allowed_hosts": ("127.0.0.1",)}],
)
async def test_process_control_is_off_where_it_was_not_asked_for(
    runs_dir: Path, connect: Connect, config: dict[str, Any]
) -> None:
    fake = TrainingConfig(command=FAKE)
    async with ReplayServer(
        ServerConfig(runs_dir=runs_dir, port=0, training=fake, **config)
    ) as server:
        for path in POSTS:
            status, answer = await post(server, path)
            if path in ("/api/training/save", "/api/training/load"):
                assert status in (400, 403, 404)
            else:
                assert (status, answer["error"]["code"]) == (403, "training_off"), path
        overview = await get(server, "/api/training")
        assert not overview["allowed"]
        assert overview["reason"]
        refused = await ask(await connect(server), "error", "start_training")
        assert refused["code"] == "training_off"
    remote = TrainingConfig(command=FAKE, remote=True)
    if "host" in config:
        async with ReplayServer(
            ServerConfig(runs_dir=runs_dir, port=0, training=remote, **config)
        ) as server:
            assert (await get(server, "/api/training"))["allowed"]


async def test_a_real_training_from_start_to_a_second_one_on_its_table(
    runs_dir: Path, connect: Connect
) -> None:
    async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
        client = await connect(server)
        schema = await get(server, "/api/training/schema")
        assert {"conservative", "balanced", "aggressive"} <= set(schema["presets"])
        for bad, words in (
            ({"env": "Nowhere-v0"}, "Nowhere"),
            ({"env_kwargs": {"desc": ["S#G"]}}, "way from the start"),
            ({"epsilon": 0.1, "epsilon_min": 0.5}, "epsilon_min"),
        ):
            refused = await ask(client, "error", "start_training", parameters=bad)
            assert refused["code"] in ("training_failed", "bad_parameter")
            assert words in refused["message"]
        parameters = {
            "name": "first",
            "episodes": 1_000_000,
            "env_kwargs": {"desc": ["S..", "..G"]},
        }
        first = await ask(client, "training_started", "start_training", parameters=parameters)
        assert first["run"] in await runs_of(server)
        await client.until("training_update", state="running")
        await ask(client, "training", "pause_training")
        await ask(client, "training", "update_params", parameters={"epsilon": 0.25})
        await ask(client, "training", "step_training", by=1, unit="episode")
        saved = await ask(client, "qtable_saved", "save_qtable", name="mine")
        assert (saved["name"], saved["run"]) == ("mine", first["run"])
        assert saved["episode"] > 0
        stopped = await ask(client, "training_stopped", "stop_training")
        assert (stopped["state"], stopped["outcome"]) == ("ended", "stopped"), stopped
        load = {"run": first["run"], "name": "mine"}
        wrong = await ask(
            client, "error", "start_training", load=load, parameters={"name": "other map"}
        )
        assert "Q-table" in wrong["message"]
        second = await ask(
            client, "training_started", "start_training", load=load,
            parameters={**parameters, "name": "second"},
        )  # fmt: skip
        assert second["run"] != first["run"]
        loaded = await ask(client, "qtable_loaded", "load_qtable", **load)
        assert loaded["name"] == "mine"
        refused = await ask(client, "error", "load_qtable", name="none")
        assert refused["code"] == "bad_qtable"
        pid = server.app[parts()].training.manager.find(None).pid
        os.kill(pid, signal.SIGKILL)
        failed = await client.until("training_stopped", state="failed")
        assert "SIGKILL" in failed["problem"]


def parts() -> Any:
    from replay_server.app import PARTS

    return PARTS


async def runs_of(server: ReplayServer) -> list[str]:
    return [run["run"] for run in (await get(server, "/api/runs"))["runs"]]


async def test_a_killed_server_takes_its_trainers_along_unless_detached(
    tmp_path: Path, serve: Serve
) -> None:
    """`reel serve` killed under a running trainer: it ends cleanly, or goes on and is found."""
    for words in ((), ("--detach",)):
        runs = tmp_path / ("on" if words else "off")
        runs.mkdir()
        server, url, headers = await serve(runs, *words)
        async with aiohttp.ClientSession(headers=headers) as session:
            body = {"parameters": {"name": "one", "episodes": 100_000_000}}
            async with session.post(f"{url}/api/training/start", json=body) as answer:
                started = await answer.json()
                assert answer.status == 200, started
        server.kill()
        await server.wait()
        if not words:
            tape = runs / started["run"]
            async with asyncio.timeout(PATIENCE):
                while json.loads(await status_of(tape)) == "recording":
                    await asyncio.sleep(0.05)
            assert json.loads(await status_of(tape)) == "interrupted"
            continue
        server, url, headers = await serve(runs)
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.get(f"{url}/api/training") as answer:
                [found] = (await answer.json())["trainings"]
            assert found["training"] == started["training"]
            assert found["parameters"] == body["parameters"]
            async with session.post(f"{url}/api/training/stop", json={}) as answer:
                assert (await answer.json())["state"] == "ended"
        server.send_signal(signal.SIGINT)
        await server.wait()
        assert list((runs / ".trainers").iterdir()) == []


async def status_of(tape: Path) -> str:
    from recorder import open_run

    def read() -> str:
        with open_run(tape) as run:
            return json.dumps(run.info.status)

    return await asyncio.to_thread(read)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Run `reel serve` on a directory; what still runs at the end is killed."""
    processes = []

    async def serve(
        runs: Path, *words: str
    ) -> tuple[asyncio.subprocess.Process, str, dict[str, str]]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "reel", "serve", "--runs-dir", str(runs), "--port", "0",
            "--token", "trainingtests", "--json", *words,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await process.stdout.readline()
        return process, json.loads(line)["url"], {"Authorization": "Bearer trainingtests"}

    yield serve
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_checkpoint_mode_plays_the_newest_and_moves_on(
    runs_dir: Path, tmp_path: Path, connect: Connect
) -> None:
    """In a process of its own, whose run is followed live; a corrupt file is told of."""
    train = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reel", "train", "--runs-dir", str(tmp_path), "--name", "source",
        "--episodes", "20", "--checkpoint-every", "10", "--json", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await train.communicate()
    folder = tmp_path / "shown"
    folder.mkdir()
    saved = tmp_path / "source" / "checkpoints"
    (folder / "junk.npy").write_bytes(b"junk")
    config = ServerConfig(
        runs_dir=runs_dir, port=0, training=TrainingConfig(command=FAKE, checkpoints=folder)
    )
    async with ReplayServer(config) as server:
        client = await connect(server)
        warned = await client.until("checkpoint_mode")
        while warned["warning"] is None:
            warned = await client.until("checkpoint_mode")
        assert "junk.npy" in warned["warning"]
        for name in ("episode-000000010", "episode-000000020"):
            (saved / f"{name}.npy").rename(folder / f"{name}.npy")
            playing: dict[str, Any] = {}
            while (playing.get("checkpoint") or {}).get("name") != name:
                playing = await client.until("checkpoint_mode")
            assert playing["state"] == "playing"
        overview = await get(server, "/api/training")
        assert overview["checkpoint_mode"] == playing
        assert playing["run"] in await runs_of(server)
    assert json.loads(await status_of(runs_dir / playing["run"])) == "interrupted"
