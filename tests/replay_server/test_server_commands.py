"""`reel serve` and `reel demo` as a person runs them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from server_kit import record_run

from recorder import list_runs, open_run
from reel import main
from replay_server.trainer import environment

PATIENCE = 60.0


@asynccontextmanager
async def reel(*words: object) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reel", *map(str, words), stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def refused(*words: object) -> str:
    """What a command that cannot be obeyed says; one sentence, exit code 2."""
    async with reel(*words) as process:
        out, error = await process.communicate()
    text = error.decode()
    assert process.returncode == 2, text
    assert out == b""
    assert "Traceback" not in text
    assert len(text.strip().splitlines()) == 1, text
    return text


def refused_here(capfd: pytest.CaptureFixture[str], *words: object) -> str:
    """The same of one that is refused before anything is begun, without a process of its own."""
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words)])
    out, text = capfd.readouterr()
    assert ended.value.code == 2, text
    assert out == ""
    return text


async def address_of(process: Process) -> str:
    assert process.stdout is not None
    words = (await process.stdout.readline()).decode().split()
    assert words[:3] == ["Reel", "is", "at"]
    return words[3]


async def test_serve_prints_an_address_that_opens_and_ends_on_signals(runs_dir: Path) -> None:
    record_run(runs_dir, "first", [3])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        async with reel("serve", "--runs-dir", runs_dir, "--port", 0) as process:
            address = await address_of(process)
            jar = aiohttp.CookieJar(unsafe=True)
            async with aiohttp.ClientSession(cookie_jar=jar) as session:
                async with session.get(address) as answer:
                    assert answer.status == 200
                    assert "token" not in str(answer.url)
                async with session.get(answer.url.with_path("/api/runs")) as answer:
                    assert (await answer.json())["runs"][0]["run"] == "first"
            process.send_signal(number)
            _, error = await process.communicate()
            assert process.returncode == 0
            assert error == b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /?token=secret\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["no host", "two hosts", "no address"],
)
async def test_a_malformed_request_is_one_line_in_the_log(
    runs_dir: Path, request_bytes: bytes
) -> None:
    async with reel("serve", "--runs-dir", runs_dir, "--port", 0) as process:
        port = int((await address_of(process)).split(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes)
        assert (await reader.readline()).split()[1] == b"400"
        writer.close()
        process.terminate()
        _, error = await process.communicate()
    assert len(error.splitlines()) == 1, error.decode()
    assert b"127.0.0.1" in error
    assert b"secret" not in error


@pytest.mark.parametrize(
    "words",
    [["--difficulty", "zork"], ["--episodes", "-4"], ["--seed", "-1"], ["--steps-per-second", "0"]],
    ids=lambda words: words[0],
)
def test_the_demo_is_refused_before_anything_starts(
    tmp_path: Path, words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    said = refused_here(capfd, "demo", *words, "--runs-dir", tmp_path / "new", "--no-browser")
    assert words[0] in said
    assert not (tmp_path / "new").exists()


async def test_serve_can_print_json_and_take_a_token(runs_dir: Path) -> None:
    options = ["--runs-dir", runs_dir, "--port", 0, "--token", "-sesame_Open1", "--json"]
    async with reel("serve", *options) as process:
        assert process.stdout is not None
        printed = json.loads(await process.stdout.readline())
        assert printed["address"] == printed["url"] + "/?token=-sesame_Open1"
        process.terminate()
        await process.communicate()


async def test_a_port_in_use_is_one_sentence(runs_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = await refused("serve", "--runs-dir", runs_dir, "--port", port)
        assert f"expected to listen on 127.0.0.1 port {port}" in said
        assert "choose another with --port" in said
        said = await refused("demo", "--runs-dir", runs_dir, "--port", port, "--no-browser")
        assert "expected to listen" in said
    assert list_runs(runs_dir) == [], "nothing was trained for a server that could not start"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["serve", "--runs-dir", "{none}"], "expected a directory of runs"),
        (["serve", "--runs-dir", "{file}"], "expected a directory of runs"),
        (["demo", "--runs-dir", "{file}", "--no-browser"], "--runs-dir must be a directory"),
        (["serve", "--runs-dir", "{runs}", "--port", "70000"], "--port must be 0 to 65535"),
        (["serve", "--runs-dir", "{runs}", "--port", "-1"], "--port must be 0 to 65535"),
        (["serve", "--runs-dir", "{runs}", "--host", "0.0.0.0"], "--allow-remote"),
        (["serve", "--runs-dir", "{runs}", "--host", "0.0.0.0", "--allow-remote"], "--allow-host"),
        (["serve", "--runs-dir", "{runs}", "--host", "::"], "--allow-remote"),
        (["serve", "--runs-dir", "{runs}", "--host", "example.com"], "--allow-remote"),
        (["serve", "--runs-dir", "{runs}", "--token", "x y"], "--token must be"),
        (["serve", "--runs-dir", "{runs}", "--token", ""], "--token must be"),
        (["demo", "--runs-dir", "{runs}", "--steps-per-second", "inf"], "--steps-per-second must"),
        (["demo", "--runs-dir", "{runs}", "--steps-per-second", "nan"], "--steps-per-second must"),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path, words: list[str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no directory")
    (tmp_path / "runs").mkdir()
    places = {"none": tmp_path / "none", "file": tmp_path / "file", "runs": tmp_path / "runs"}
    said = refused_here(capfd, *(word.format(**places) for word in words))
    assert says in said
    assert len(said.strip().splitlines()) == 1, said


async def test_an_address_of_another_machine_is_one_sentence(runs_dir: Path) -> None:
    said = await refused(
        "serve", "--runs-dir", runs_dir, "--host", "192.0.2.1", "--allow-remote",
        "--allow-host", "me",
    )  # fmt: skip
    assert "--host must be an address of this machine, but got 192.0.2.1" in said


async def test_the_demo_trains_serves_and_leaves(runs_dir: Path) -> None:
    async with reel(
        "demo", "--episodes", 40, "--difficulty", "easy", "--steps-per-second", 20_000,
        "--runs-dir", runs_dir, "--port", 0, "--no-browser", "--exit-when-done",
    ) as process:  # fmt: skip
        await address_of(process)
        _, error = await process.communicate()
        assert process.returncode == 0, error.decode()
    (run_id,) = list_runs(runs_dir)
    with open_run(runs_dir / run_id) as run:
        assert (run.info.status, run.counts().episodes) == ("finished", 40)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_the_demo_and_its_trainer(
    runs_dir: Path, number: signal.Signals
) -> None:
    async with reel(
        "demo", "--episodes", 1_000_000, "--steps-per-second", 2000,
        "--runs-dir", runs_dir, "--port", 0, "--no-browser",
    ) as process:  # fmt: skip
        await address_of(process)
        while not list_runs(runs_dir):
            await asyncio.sleep(0.05)
        (run_id,) = list_runs(runs_dir)
        with open_run(runs_dir / run_id) as run:
            while not run.counts().episodes:
                await asyncio.sleep(0.05)
        process.send_signal(number)
        _, error = await process.communicate()
        assert process.returncode == 0, error.decode()
        assert "Traceback" not in error.decode()
    with open_run(runs_dir / run_id) as run:
        assert run.info.status == "interrupted"
        assert run.counts().episodes > 0


async def test_a_demo_that_is_killed_takes_its_trainer_along(runs_dir: Path) -> None:
    async with reel(
        "demo", "--episodes", 1_000_000, "--steps-per-second", 2000,
        "--runs-dir", runs_dir, "--port", 0, "--no-browser",
    ) as process:  # fmt: skip
        await address_of(process)
        while not list_runs(runs_dir):
            await asyncio.sleep(0.05)
        (run_id,) = list_runs(runs_dir)
        with open_run(runs_dir / run_id) as run:
            while not run.counts().episodes:
                await asyncio.sleep(0.05)
        process.kill()
        _, error = await process.communicate()
        assert b"Traceback" not in error
    # The trainer has the other end of the server's pipes: it ends when they do.
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(status_of, runs_dir / run_id) == "recording":
            await asyncio.sleep(0.05)
    assert status_of(runs_dir / run_id) == "interrupted"


def status_of(run_dir: Path) -> str:
    with open_run(run_dir) as run:
        return run.info.status


async def test_the_demo_is_steered_like_any_training(runs_dir: Path) -> None:
    async with reel(
        "demo", "--episodes", 1_000_000, "--steps-per-second", 300,
        "--runs-dir", runs_dir, "--port", 0, "--no-browser",
    ) as process:  # fmt: skip
        address = await address_of(process)
        token = address.rpartition("=")[2]
        url = address.partition("/?")[0]
        async with aiohttp.ClientSession(
            url, headers={"Authorization": f"Bearer {token}"}
        ) as session:

            async def trainings() -> list[dict[str, object]]:
                async with session.get("/api/training") as answer:
                    found: list[dict[str, object]] = (await answer.json())["trainings"]
                    return found

            while not (known := await trainings()) or known[0]["state"] != "running":
                await asyncio.sleep(0.05)
            assert known[0]["speed"] == {"per_second": 300.0, "unit": "step"}
            for act, state in (("pause", "paused"), ("resume", "running"), ("stop", "ended")):
                async with session.post(f"/api/training/{act}", json={}) as answer:
                    assert (await answer.json())["state"] == state
            assert process.stderr is not None
            assert b"Ctrl-C ends the server" in await process.stderr.readline()
            assert (await trainings())[0]["outcome"] == "stopped"
        process.send_signal(signal.SIGINT)
        _, error = await process.communicate()
        assert (process.returncode, error) == (0, b"")


@pytest.mark.parametrize("path", ["", ":", None])
async def test_the_demo_works_among_files_named_like_its_modules(
    tmp_path: Path, runs_dir: Path, path: str | None
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    for name in ("reel", "json", "recorder", "gridworld"):
        (place / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the user was run')")
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        variables["PYTHONPATH"] = path
    code = (
        "import sys; sys.path[:] = sys.argv.pop(1).split(':');"
        "from replay_server.commands import demo; demo()"
    )
    root = Path(__file__).resolve().parents[2]
    # As an installed `reel` does: the working directory is no place for its modules.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-I", "-c", code, ":".join([str(root), *filter(None, sys.path)]),
        "--episodes", "3", "--difficulty", "easy", "--runs-dir", str(runs_dir), "--port", "0",
        "--no-browser", "--exit-when-done",
        cwd=place, env=variables, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    _, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    assert len(list_runs(runs_dir)) == 1


def test_a_trainer_finds_reel_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(Path(__file__).resolve().parents[2])
    monkeypatch.setenv("PYTHONPATH", ":/elsewhere::")
    assert environment()["PYTHONPATH"] == f"{root}:/elsewhere"
    monkeypatch.setattr("replay_server.trainer.sysconfig.get_path", lambda name: root)
    assert environment()["PYTHONPATH"] == "/elsewhere"
    monkeypatch.setenv("PYTHONPATH", "")
    assert "PYTHONPATH" not in environment()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("both", [False, True])
def test_output_that_cannot_be_written_is_one_sentence(both: bool) -> None:
    words = [sys.executable, "-m", "reel", "train", "--no-record", "--episodes", "2"]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(words, stdout=full, stderr=full if both else PIPE, text=True)
    assert done.returncode == 1
    if not both:
        assert done.stderr == "Error: No space left on device.\n"


async def test_a_demo_whose_trainer_fails_says_why(runs_dir: Path) -> None:
    async with reel(
        "demo", "--seed", 2**70, "--runs-dir", runs_dir, "--port", 0, "--no-browser"
    ) as process:
        _, error = await process.communicate()
    assert process.returncode == 2
    assert "expected seed to be a whole number" in error.decode()
    assert "Traceback" not in error.decode()
