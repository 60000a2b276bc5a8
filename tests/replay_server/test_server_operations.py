"""What whoever runs the server needs: metrics, logs, limits, a proxy in front, friendly words."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from server_kit import Connect, bearer, make_recorder, record_episode, record_run

from recorder.hints import reel_command
from reel import main
from replay_server import ReplayServer, ServerConfig, logs, security
from replay_server.app import PARTS
from replay_server.checks import word_of

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"


async def numbers(server: ReplayServer) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample of `/metrics` by its name and its labels' values."""
    async with (
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
        session.get("/metrics") as answer,
    ):
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        text = await answer.text()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_the_metrics_tell_what_goes_on(runs_dir: Path, connect: Connect) -> None:
    record_run(runs_dir, "old", [3])
    with make_recorder(runs_dir, "new") as recorder:
        for episode in range(4):
            record_episode(recorder, episode, 5)
        recorder.flush()
        async with ReplayServer(ServerConfig(runs_dir=runs_dir, port=0)) as server:
            viewer = await connect(server)
            await viewer.ask("open", run="new")
            await viewer.send("control", speed=0)
            await viewer.until("error")
            told = await numbers(server)
            assert told["reel_viewers", ()] == told["reel_viewers_joined_total", ()] == 1
            assert (told["reel_runs", ()], told["reel_live_runs", ()]) == (2, 1)
            assert told["reel_live_episodes", ("new",)] == 4
            assert told["reel_live_steps", ("new",)] == 20
            assert told["reel_live_followers", ("new",)] == 1
            assert told["reel_messages_total", ()] == 2
            assert told["reel_messages_refused_total", ()] == 1
            assert told["reel_http_requests_total", ("GET", "101")] == 1
            assert told["process_open_fds", ()] > 0
            # Not only what a viewer watches is looked at.
            await viewer.ask("open", run="old", playing=False)
            record_episode(recorder, 4, 5)
            recorder.flush()
            again = await numbers(server)
            assert again["reel_live_episodes", ("new",)] == 5
            assert again["reel_http_requests_total", ("GET", "200")] == 1
            assert ("reel_info", ("0.1.0",)) in again


async def test_the_page_names_every_metric_there_is(server: ReplayServer) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for prefix in re.findall(r"`(reel_live_)\w+`, `_steps`", page):
        page = re.sub(r"`_(steps|lost|followers)`", rf"`{prefix}\1`", page)
    ours = {name for name, _ in await numbers(server) if name.startswith("reel_")}
    named = set(re.findall(r"`(reel_\w+)`", page))
    live = {f"reel_live_{name}" for name in ("episodes", "steps", "lost", "followers")}
    assert ours | live | {"reel_http_requests_total"} == named


async def test_a_proxy_serves_it_under_its_own_name_and_no_other(archived: Path) -> None:
    origin = "https://reel.example.org"
    config = ServerConfig(runs_dir=archived, port=0, allowed_origins=[origin])
    async with ReplayServer(config) as server, aiohttp.ClientSession() as session:
        for host, sent, expected in (
            ("reel.example.org", origin, 200),
            ("REEL.example.org", None, 200),
            ("reel.example.org", server.url, 200),
            ("reel.example.org", "http://reel.example.org", 403),
            ("reel.example.org", f"{origin}:8443", 403),
            ("reel.example.org:8443", None, 421),
            ("example.org", None, 421),
            ("reel.example.org.evil.com", None, 421),
        ):
            headers = {**bearer(server), "Host": host}
            headers |= {} if sent is None else {"Origin": sent}
            async with session.get(f"{server.url}/api/status", headers=headers) as answer:
                assert answer.status == expected, (host, sent)
        for host, secure in (("reel.example.org", True), (f"127.0.0.1:{server.port}", False)):
            async with session.get(
                server.address, headers={"Host": host}, allow_redirects=False
            ) as answer:
                assert bool(answer.cookies[f"reel_{server.port}"]["secure"]) is secure


@pytest.mark.parametrize(
    "origin",
    ["reel.example.org", "https://reel.example.org/", "https://", "ftp://a", "https://a b", "*"],
)
def test_an_origin_that_is_none_is_refused(
    archived: Path, origin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["serve", "--runs-dir", str(archived), "--allow-origin", origin])
    assert left.value.code == 2
    assert "--allow-origin must be a scheme and a host" in capsys.readouterr().err


@asynccontextmanager
async def stalled(
    server: ReplayServer, count: int, said: bytes
) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Connections that have said so much and say no more."""
    streams = []
    for _ in range(count):
        streams.append(await asyncio.open_connection("127.0.0.1", server.port))
        streams[-1][1].write(said.replace(b"HOST", b"127.0.0.1:%d" % server.port))
    yield [reader for reader, _ in streams]
    for _, writer in streams:
        writer.transport.abort()


@pytest.mark.parametrize(
    "said",
    [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: HOST\r\nX-Slow: "],
    ids=["nothing", "half a line", "half a head"],
)
async def test_two_hundred_stalled_connections_stop_nobody_and_are_dropped(
    archived: Path, connect: Connect, said: bytes
) -> None:
    config = ServerConfig(runs_dir=archived, port=0, head_seconds=0.5)
    async with ReplayServer(config) as server, stalled(server, 200, said) as readers:
        viewer = await connect(server)  # which stays, however long
        async with aiohttp.ClientSession(server.url, headers=bearer(server)) as session:
            for _ in range(20):
                async with session.get("/api/runs") as answer:
                    assert answer.status == 200
        async with asyncio.timeout(20):
            for reader in readers:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
        assert server.app[PARTS].tally.stalled == 200
        await viewer.send("ping", t=1)
        await viewer.until("pong")


async def test_a_body_that_never_comes_is_given_up(
    archived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "BODY_SECONDS", 0.2)
    async with ReplayServer(ServerConfig(runs_dir=archived, port=0)) as server:
        token = bearer(server)["Authorization"].encode()
        said = (
            b"PATCH /api/runs/archived HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\n"
            b"Authorization: " + token + b'\r\nContent-Length: 100\r\n\r\n{"na'
        )
        async with stalled(server, 1, said) as (reader,), asyncio.timeout(20):
            assert (await reader.readline()).split()[1] == b"408"


async def test_beyond_the_most_connections_there_are_no_more(archived: Path) -> None:
    config = ServerConfig(runs_dir=archived, port=0, max_connections=3)
    async with ReplayServer(config) as server:
        async with stalled(server, 3, b"GET "):
            while len(server.app[PARTS].door._silent) < 3:
                await asyncio.sleep(0.01)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            assert server.app[PARTS].tally.turned_away == 1
        async with aiohttp.ClientSession(server.url, headers=bearer(server)) as session:
            async with asyncio.timeout(20):
                while True:  # the others have left, which the server hears soon
                    with contextlib.suppress(aiohttp.ClientError):
                        async with session.get("/api/status") as answer:
                            assert answer.status == 200
                            break


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_log_line_holds_what_happened_and_no_secret(form: logs.Format) -> None:
    formatter = logs.WithoutSecrets(form == "json", ("sesame-open-1",))
    try:
        raise ValueError("sesame-open-1 in a fault")
    except ValueError as fault:
        record = logging.LogRecord(
            "reel", logging.WARNING, "x.py", 1, "GET %s\nfailed", ("/?token=sesame-open-1",),
            (ValueError, fault, fault.__traceback__),
        )  # fmt: skip
    record.status = 500
    line = formatter.format(record)
    assert "sesame" not in line
    assert "token=[token]" in line
    if form == "json":
        told = json.loads(line)
        assert (told["level"], told["logger"], told["status"]) == ("warning", "reel", 500)
        assert told["message"] == "GET /?token=[token]\nfailed"
        assert "ValueError: [token] in a fault" in told["exception"]


def test_a_directory_with_nothing_to_watch_is_told_at_the_start(runs_dir: Path) -> None:
    assert "There is no run in" in (word_of(runs_dir) or "")
    (runs_dir / "broken").mkdir()
    (runs_dir / "broken" / "run.db").write_bytes(b"no tape" * 1000)
    word = word_of(runs_dir) or ""
    assert word.startswith(f"None of the 1 runs in {runs_dir} can be read; the first: ")
    record_run(runs_dir, "whole", [1])
    assert word_of(runs_dir) is None


def test_hints_name_a_command_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place of python"
    place.mkdir()
    python, script = place / "python", place / "reel"
    python.touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(python))
    monkeypatch.setenv("PATH", "/usr/bin")
    assert reel_command() == f"'{python}' -m reel"
    script.touch(mode=0o755)
    assert reel_command() == f"'{script}'"
    monkeypatch.chdir(tmp_path)
    assert reel_command() == "'place of python/reel'"
    other = tmp_path / "other"
    other.mkdir()
    (other / "reel").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(other))
    assert reel_command() == "'place of python/reel'", "another environment's is not meant"
    monkeypatch.setenv("PATH", str(place))
    assert reel_command() == "reel"
    monkeypatch.setattr("sys.executable", "")
    assert reel_command() == "reel", "as good as any, in a program that embeds Python"


async def test_serve_says_that_there_is_nothing_yet(runs_dir: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reel", "serve", "--runs-dir", str(runs_dir), "--port", "0",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"Reel is at ")
    assert (await process.stdout.readline()).startswith(b"There is no run in ")
    process.terminate()
    await process.communicate()
