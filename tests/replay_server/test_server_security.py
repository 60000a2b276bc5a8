"""The threat table: who is refused, on every route, and with which status."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from run_kit import delete_run
from server_kit import Connect, bearer

from replay_server import ReplayServer, ServerConfig
from replay_server.static import Site, content_security_policy

ROUTES = [
    "/", "/index.html", "/healthz", "/api/status", "/api/runs", "/api/runs/archived",
    "/api/runs/archived/episodes", "/api/runs/archived/episodes/0",
    "/api/runs/archived/episodes/0/steps", "/api/runs/archived/curve", "/ws",
    "/no/such/route", "/api/none", "/api/training", "/api/training/schema",
    "/api/training/checkpoints", "/api/training/none/history",
]  # fmt: skip


async def status(session: aiohttp.ClientSession, method: str, path: str, **headers: str) -> int:
    async with session.request(method, path, headers=headers, allow_redirects=False) as answer:
        await answer.read()
        return answer.status


@pytest.mark.parametrize("path", ROUTES)
async def test_every_route_answers_to_its_own_host_only(
    server: ReplayServer, session: aiohttp.ClientSession, path: str
) -> None:
    for host in ("evil.com", f"evil.com:{server.port}", "127.0.0.1", "localhost:1", "",
                 f"127.0.0.1:{server.port}.evil.com", f"user@127.0.0.1:{server.port}"):  # fmt: skip
        assert await status(session, "GET", path, Host=host) == 421
    for host in (f"localhost:{server.port}", f"LOCALHOST:{server.port}", f"[::1]:{server.port}"):
        assert await status(session, "GET", path, Host=host) != 421


@pytest.mark.parametrize("path", ROUTES)
async def test_every_route_asks_for_the_origin_where_one_is_sent(
    server: ReplayServer, session: aiohttp.ClientSession, path: str
) -> None:
    for origin in ("http://evil.com", f"http://127.0.0.1:{server.port + 1}", "http://127.0.0.1",
                   "null", "", f"https://127.0.0.1:{server.port}"):  # fmt: skip
        assert await status(session, "GET", path, Origin=origin) == 403
    assert await status(session, "GET", path, Origin=server.url) != 403


@pytest.mark.parametrize("path", ROUTES)
async def test_every_route_but_the_health_check_asks_for_the_token(
    server: ReplayServer, path: str
) -> None:
    expected = 200 if path == "/healthz" else 401
    async with aiohttp.ClientSession(server.url) as nobody:
        assert await status(nobody, "GET", path) == expected
        for shown in ("", "Bearer", "Bearer ", "Bearer x", f"Basic {server.config.token}",
                      f"Bearer {server.config.token}x", "Bearer \u00fcnl\u00f6sbar"):  # fmt: skip
            assert await status(nobody, "GET", path, Authorization=shown) == expected
        for cookie in ("x", server.config.token[:-1]):
            named = f"reel_{server.port}={cookie}"
            assert await status(nobody, "GET", path, Cookie=named) == expected
        other = f"reel_{server.port + 1}={server.config.token}"
        assert await status(nobody, "GET", path, Cookie=other) == expected


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_no_form_can_ask_for_a_change(
    session: aiohttp.ClientSession, path: str, method: str
) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert await status(session, method, path, **form) == 415
    assert await status(session, method, path, **{"Content-Type": "text/plain"}) == 415
    json = {"Content-Type": "application/json"}
    assert await status(session, method, path, Origin="http://evil.com", **json) == 403
    changes = method in ("PATCH", "DELETE") and path == "/api/runs/archived"
    if not changes:  # see test_server_changes
        assert await status(session, method, path, **json) in (404, 405)


async def test_the_token_in_the_address_becomes_a_cookie_once(server: ReplayServer) -> None:
    async with aiohttp.ClientSession(
        server.url, cookie_jar=aiohttp.CookieJar(unsafe=True)
    ) as session:
        assert await status(session, "GET", "/?token=wrong") == 401
        first = f"/?token={server.config.token}&run=archived"
        async with session.get(first, allow_redirects=False) as answer:
            assert answer.status == 302
            assert answer.headers["Location"] == "/?run=archived"
            cookie = answer.cookies[f"reel_{server.port}"]
            assert cookie["httponly"]
            assert cookie["samesite"] == "Strict"
        assert await status(session, "GET", "/api/status") == 200
        assert await status(session, "GET", f"/api/status?token={server.config.token}") == 200
    async with aiohttp.ClientSession(server.url) as session:
        path = f"/api/status?token={server.config.token}"
        assert await status(session, "GET", path) == 401, "the page's address alone takes it"


TRAVERSALS = [
    "..", "../archived", "%2e%2e", "%252e%252e", "..%2farchived", "archived%2f..", "archived%00",
    "archived%0a", "ARCHIVED", "CON", "a" * 65, "%5c..%5c", "archived.", "-archived", "_", ".",
    "link", "%C3%A4", "archived%20", "runs%2farchived", "outside",
]  # fmt: skip


@pytest.mark.parametrize("name", TRAVERSALS)
async def test_no_name_leads_out_of_the_runs(archived: Path, name: str) -> None:
    outside = archived.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "run.db").write_bytes(b"")
    link = archived / "link"
    if not link.exists():
        link.symlink_to(outside)
    try:
        async with (
            ReplayServer(ServerConfig(runs_dir=archived, port=0)) as server,
            aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
        ):
            from yarl import URL

            for rest in ("", "/episodes", "/episodes/0", "/curve"):
                url = URL(f"{server.url}/api/runs/{name}{rest}", encoded=True)
                async with session.get(url) as answer:
                    assert 400 <= answer.status < 500, (name, rest, answer.status)
    finally:
        link.unlink()


@pytest.mark.parametrize(
    "path",
    ["/../pyproject.toml", "/%2e%2e/pyproject.toml", "/..%2fpyproject.toml", "/js/../../reel.py",
     "/%252e%252e/reel.py", "/..%5creel.py", "//etc/passwd", "/etc/passwd", "/js%00",
     "/.git/config", "/package.json%0a", "/node_modules/x.js"],
)  # fmt: skip
async def test_no_path_leads_out_of_the_page(
    server: ReplayServer, session: aiohttp.ClientSession, path: str
) -> None:
    from yarl import URL

    async with session.get(URL(server.url + path, encoded=True)) as answer:
        assert answer.status == 404


async def test_every_answer_carries_the_security_headers(
    server: ReplayServer, session: aiohttp.ClientSession
) -> None:
    for path in ("/", "/api/runs", "/no/such/route", "/healthz"):
        async with session.get(path) as answer:
            headers = answer.headers
            assert "default-src 'self'" in headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cache-Control"] == "no-cache"
            assert headers["Server"] == "reel"


async def test_errors_are_json_that_says_what_to_do(session: aiohttp.ClientSession) -> None:
    async with session.get("/api/none") as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "not_found"
    async with session.get("/ws") as answer:
        assert answer.status == 426
        assert "expected a WebSocket upgrade" in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "body", "expected", "word"),
    [
        ({"Content-Encoding": "gzip"}, b"no gzip", 400, "cannot be decoded"),
        ({"Content-Type": "application/json; charset=none-such"}, b"{}", 415, "application/json"),
        ({"Content-Type": "application/json; charset=utf-16"}, b"{}", 415, "application/json"),
        ({"Content-Type": "application/json; charset=UTF-8"}, b"[]", 400, "a JSON object"),
        ({}, b" " * 65_537, 413, "a body of at most 65,536 bytes"),
    ],
    ids=["gzip", "none-such", "utf-16", "UTF-8", "long"],
)
async def test_a_body_that_cannot_be_read_is_told_and_is_no_fault_of_the_server(
    session: aiohttp.ClientSession, headers: dict[str, str], body: bytes, expected: int, word: str
) -> None:
    for method, path in (("PATCH", "/api/runs/archived"), ("POST", "/api/training/start")):
        sent = {"Content-Type": "application/json", **headers}
        async with session.request(method, path, data=body, headers=sent) as answer:
            assert answer.status == expected
            assert word in (await answer.json())["error"]["message"]


async def test_the_upgrade_is_refused_to_strangers(server: ReplayServer) -> None:
    address = f"{server.url}/ws"
    refused: list[tuple[dict[str, str], int]] = [
        ({}, 401),
        ({**bearer(server), "Origin": "http://evil.com"}, 403),
        ({**bearer(server), "Host": "evil.com"}, 421),
    ]
    async with aiohttp.ClientSession() as session:
        for headers, expected in refused:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(address, headers=headers)
            assert caught.value.status == expected
        headers = {**bearer(server), "Origin": server.url}
        async with session.ws_connect(address, headers=headers) as socket:
            assert (await socket.receive_json())[0] == "hello"


async def test_the_log_never_holds_the_token(
    server: ReplayServer, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await status(session, "GET", f"/?token={server.config.token}")
        await status(session, "GET", f"/api/none?token={server.config.token}")
    assert "GET /api/none 404" in caplog.text
    assert server.config.token not in caplog.text
    assert server.config.token not in repr(server.config)


async def test_the_page_is_served_with_types_a_browser_takes(
    runs_dir: Path, tmp_path: Path
) -> None:
    web = tmp_path / "web"
    (web / "js").mkdir(parents=True)
    script = '{"imports": {"x": "/js/x.mjs"}}'
    (web / "index.html").write_text(f'<script type="importmap">{script}</script>')
    for name in ("app.js", "x.mjs", "style.css", "secret.py", ".hidden.js"):
        (web / "js" / name).write_text("")
    config = ServerConfig(runs_dir=runs_dir, port=0, web_root=web)
    async with (
        ReplayServer(config) as server,
        aiohttp.ClientSession(server.url, headers=bearer(server)) as session,
    ):
        expected: dict[str, Any] = {
            "/": "text/html", "/index.html": "text/html", "/js/app.js": "text/javascript",
            "/js/x.mjs": "text/javascript", "/js/style.css": "text/css",
            "/js/secret.py": None, "/js/.hidden.js": None, "/js/": None, "/js": None,
        }  # fmt: skip
        for path, media_type in expected.items():
            async with session.get(path) as answer:
                assert answer.status == (404 if media_type is None else 200), path
                if media_type is not None:
                    assert answer.content_type == media_type
        async with session.get("/") as answer:
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
            assert (
                f"script-src 'self' 'sha256-{digest}'"
                in (answer.headers["Content-Security-Policy"])
            )


def test_only_inline_scripts_are_hashed() -> None:
    policy = content_security_policy('<script src="/a.js"></script><script>x</script>')
    assert len(re.findall("sha256-", policy)) == 1


def test_the_checkouts_page_is_found() -> None:
    site = Site(None)
    site.refresh()
    if site.root is not None:
        assert site.find("/") is not None


async def test_a_port_in_use_is_an_error_of_the_system(
    server: ReplayServer, connect: Connect
) -> None:
    second = ReplayServer(ServerConfig(runs_dir=server.config.runs_dir, port=server.port))
    with pytest.raises(OSError):
        await second.start()
    await connect(server)  # the first goes on


def registered(server: ReplayServer) -> list[tuple[str, str]]:
    """Every route x method that the application has, with something in its placeholders."""
    places = {"run": "archived", "episode": "0", "path": "some/file.js"}
    return sorted(
        {
            (route.method, re.sub(r"\{(\w+)[^}]*\}", lambda m: places.get(m[1], "x"), path))
            for route in server.app.router.routes()
            if route.resource is not None and (path := route.resource.canonical)
        }
    )


async def test_every_registered_route_and_method_refuses_strangers(
    server: ReplayServer, session: aiohttp.ClientSession
) -> None:
    """Whatever is added later stands under the same rules, without being named here."""
    routes = registered(server)
    assert {("GET", "/ws"), ("GET", "/metrics"), ("PATCH", "/api/runs/archived")} <= set(routes)
    json = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(server.url) as nobody:
        for method, path in routes:
            where = (method, path)
            sent = {} if method in ("GET", "HEAD") else json
            assert await status(session, method, path, **sent, Host="evil.com") == 421, where
            for origin in ("http://evil.com", "null", f"http://127.0.0.1:{server.port + 1}"):
                assert await status(session, method, path, **sent, Origin=origin) == 403, where
            expected = 200 if path == "/healthz" else 401
            assert await status(nobody, method, path, **sent) == expected, where
            if sent:
                form = {"Content-Type": "application/x-www-form-urlencoded"}
                assert await status(session, method, path, **form) == 415, where


@pytest.mark.parametrize("relative", [False, True])
async def test_nobody_is_told_where_the_server_keeps_its_runs(
    archived: Path,
    tmp_path: Path,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    relative: bool,
) -> None:
    """Whatever is wrong with a run or with the whole directory: what is said names no place."""
    place = tmp_path / "home of ann" / "runs"
    for name in ("gone", "text", "other", "damaged"):
        shutil.copytree(archived / "archived", place / name)
    (place / "text" / "run.db").write_text("no tape at all, " * 100)
    (place / "other" / "run.db").write_bytes(b"")
    tape = bytearray((place / "damaged" / "run.db").read_bytes())
    tape[4096:] = b"\xa5" * (len(tape) - 4096)
    (place / "damaged" / "run.db").write_bytes(tape)
    monkeypatch.chdir(place.parent)
    config = ServerConfig(runs_dir=Path("../home of ann/runs") if relative else place, port=0)
    async with ReplayServer(config) as server:
        viewer = await connect(server)
        said: list[str] = []
        async with aiohttp.ClientSession(server.url, headers=bearer(server)) as session:

            async def ask(path: str, method: str = "GET") -> None:
                async with session.request(method, path, json={} if method != "GET" else None) as a:
                    said.append(await a.text())

            async def refused(run: str) -> None:
                await viewer.send("open", run=run)
                said.append((await viewer.until("error"))["message"])

            await viewer.ask("open", run="gone", episode=3, step=7, playing=False)
            delete_run(place / "gone")
            for run in ("gone", "never", "text", "other", "damaged"):
                for below in ("", "/episodes", "/episodes/0", "/episodes/0/steps", "/curve"):
                    await ask(f"/api/runs/{run}{below}")
                await ask(f"/api/runs/{run}", "PATCH")
                await refused(run)
            await ask("/api/runs")
            delete_run(place)
            await ask("/api/status")
            await ask("/api/runs")
            await ask("/api/runs/text", "DELETE")
            await refused("text")
    assert sum("expected" in text for text in said) > 30
    assert any("text/run.db" in text for text in said)
    assert any("server's runs directory" in text for text in said)
    assert [text for text in said if "home of ann" in text] == []
