"""Who may ask what: `Host`, `Origin`, token, method, and the headers of every answer.

The checks run on every route, also on those that do not exist, in this order: `Host`
(421), `Origin` (403), method and media type (415), token (401). Only `/healthz` is
answered without a token.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import HttpProcessingError

from replay_server.encoding import dumps
from replay_server.protocol import MAX_FRAME_BYTES

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
OPEN_PATHS: Final = frozenset({"/healthz"})
BODY_SECONDS: Final = 10.0
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")

log = logging.getLogger("reel.access")


class Access:
    """The rules of one server.

    Args:
        token: what every request but those for `OPEN_PATHS` must show.
        hosts: host names, without port, by which the server may be called.
        origins: whole origins, like `https://reel.example.org`, by which a reverse proxy
            serves it.
    """

    def __init__(
        self, token: str, hosts: Iterable[str] = LOOPBACK, origins: Iterable[str] = ()
    ) -> None:
        self._token = token.encode()
        self._names = tuple(hosts)
        self._proxied = {origin.lower().partition("://")[2]: origin.lower() for origin in origins}
        self.port = 0
        self.cookie = ""
        self._hosts: frozenset[str] = frozenset()
        self._origins: frozenset[str] = frozenset()

    def bind(self, port: int) -> None:
        """The port is known now; before, every request is refused."""
        self.port = port
        self.cookie = f"reel_{port}"
        hosts = {f"{name.lower()}:{port}" for name in self._names}
        if port == 80:
            hosts |= {name.lower() for name in self._names}
        self._hosts = frozenset(hosts) | self._proxied.keys()
        self._origins = frozenset(f"http://{host}" for host in hosts) | {*self._proxied.values()}

    def check_host(self, request: web.Request) -> None:
        """Refuse a name that is not the server's: a page on it could be anybody's."""
        named = request.headers.getall("Host", [])
        if len(named) != 1 or named[0].lower() not in self._hosts:
            came = ", ".join(named)[:100] or "none"
            raise problem(
                421, "wrong_host",
                f"expected one Host of {', '.join(sorted(self._hosts))}, got {came}; "
                "use the address that the server printed",
            )  # fmt: skip

    def check_origin(self, request: web.Request) -> None:
        """Refuse a page of another site (or port); programs send no Origin."""
        named = request.headers.getall("Origin", [])
        if named and (len(named) != 1 or named[0].lower() not in self._origins):
            raise problem(
                403, "wrong_origin",
                f"expected an Origin of this server, got {', '.join(named)[:100]}; "
                "open the page that this server serves",
            )  # fmt: skip

    def check_method(self, request: web.Request) -> None:
        """Whatever may change something says it sends JSON, which no form can."""
        if request.method in SAFE_METHODS:
            return
        charset = (request.charset or "utf-8").lower()
        if request.content_type != "application/json" or charset not in ("utf-8", "us-ascii"):
            raise problem(
                415, "wrong_media_type",
                f"expected Content-Type application/json with {request.method}, got "
                f"{request.headers.get('Content-Type', 'none')[:100]}; send JSON",
            )  # fmt: skip

    def check_token(self, request: web.Request) -> None:
        """Ask for the token; on the page's address it is turned into a cookie."""
        if request.path in OPEN_PATHS:
            return
        if request.path == "/" and request.method in SAFE_METHODS and "token" in request.query:
            if not self._matches(request.query.getone("token")):
                raise refused(request)
            rest = [(name, value) for name, value in request.query.items() if name != "token"]
            response = web.HTTPFound("/" + (f"?{urlencode(rest)}" if rest else ""))
            proxied = self._proxied.get(request.headers["Host"].lower(), "")
            response.set_cookie(
                self.cookie, self._token.decode(), httponly=True, samesite="Strict", path="/",
                secure=proxied.startswith("https:"),
            )  # fmt: skip
            raise response
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._matches(shown.strip()):
            return
        if not self._matches(request.cookies.get(self.cookie, "")):
            raise refused(request)

    def _matches(self, shown: str) -> bool:
        return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), self._token)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address to listen on."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def problem(status: int, code: str, message: str, **more: Any) -> web.HTTPException:
    """An error as every route answers it; `more` are further fields of it."""
    answer = _ANSWERS[status](
        text=dumps({"error": {"code": code, "message": message, **more}}),
        content_type="application/json",
    )
    return answer


def refused(request: web.Request) -> web.HTTPException:
    """401: JSON for programs, a page for a person who followed an old link."""
    if request.path == "/" and "text/html" in request.headers.get("Accept", ""):
        return web.HTTPUnauthorized(text=_ASK_FOR_TOKEN, content_type="text/html")
    return problem(
        401, "no_token",
        "expected the server's token, got none or another; open the address with ?token= that "
        "the server printed, or send Authorization: Bearer",
    )  # fmt: skip


# Nothing but itself: without the token, no style sheet is to be had either.
_ASK_FOR_TOKEN: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark light">
<title>Reel asks for a token</title>
<link rel="icon" href="data:,">
<style>
  body { display: grid; place-content: center; min-height: 90vh; margin: 0 24px;
         font: 15px/1.6 system-ui, sans-serif; }
  h1 { font-size: 20px; } p { max-width: 54ch; margin: 0 0 12px; }
</style>
<h1>This address lacks the server's token</h1>
<p>Open the whole address that the server printed when it started, the one with
<code>?token=</code> in it. Each start makes a new token, so an old link no longer opens.</p>
<p>To keep one token, start the server with <code>--token YOURTOKEN</code>.</p>
</html>
"""


class _Misdirected(web.HTTPClientError):
    status_code = 421
    reason = "Misdirected Request"


_ANSWERS: Final[dict[int, type[web.HTTPError]]] = {
    400: web.HTTPBadRequest,
    401: web.HTTPUnauthorized,
    403: web.HTTPForbidden,
    404: web.HTTPNotFound,
    408: web.HTTPRequestTimeout,
    409: web.HTTPConflict,
    415: web.HTTPUnsupportedMediaType,
    421: _Misdirected,
    426: web.HTTPUpgradeRequired,
    500: web.HTTPInternalServerError,
    503: web.HTTPServiceUnavailable,
    504: web.HTTPGatewayTimeout,
}


def guard(access: Access) -> Any:
    """The middleware that asks all of the above, and turns every error into JSON."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        access.check_host(request)
        access.check_origin(request)
        access.check_method(request)
        access.check_token(request)
        loop = asyncio.get_running_loop()
        patience = loop.call_later(BODY_SECONDS, _give_up, request)
        try:
            return await handler(request)
        except web.HTTPException as answer:
            if answer.status < 400 or answer.content_type == "application/json":
                raise
            raise _as_json(answer) from None
        except web.RequestPayloadError:
            refusal = problem(
                400, "bad_message",
                "expected a body that is what its headers say, got one that cannot be decoded; "
                "send plain JSON",
            )  # fmt: skip
            refusal.force_close()  # where the next request begins cannot be told
            raise refusal from None
        except Exception:
            log.exception("%s %s failed", request.method, request.raw_path.partition("?")[0])
            message = "expected to answer, got a fault of the server; its log says more"
            raise problem(500, "internal", message) from None
        finally:
            patience.cancel()

    return middleware


def _give_up(request: web.Request) -> None:
    """Whoever reads the body gets an answer for the client instead."""
    if not request.content.at_eof():
        request.content.set_exception(
            problem(
                408, "too_slow",
                f"expected the whole request within {BODY_SECONDS:g} s, got a part; send it again",
            )
        )  # fmt: skip


def _as_json(answer: web.HTTPException) -> web.HTTPException:
    code = "not_found" if answer.status == 404 else f"http_{answer.status}"
    expected = "a route of the API"
    if answer.status == 413:
        expected = f"a body of at most {MAX_FRAME_BYTES:,} bytes"
    answer.text = dumps(
        {"error": {"code": code, "message": f"expected {expected}, got {answer.reason}"}}
    )
    answer.content_type = "application/json"
    return answer


def harden(policy: Callable[[], str]) -> Callable[[web.Request, web.StreamResponse], Any]:
    """A signal that sets the security headers on every answer.

    Args:
        policy: gives the Content-Security-Policy of the page as it is now.
    """

    async def prepare(_: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers["Server"] = "reel"
        headers["Content-Security-Policy"] = policy()
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers.setdefault("Cache-Control", "no-cache")

    return prepare


def brief(record: logging.LogRecord) -> bool:
    """A filter for aiohttp's log: a request that is no HTTP is one line, and no traceback.

    Its reason is not told, for it quotes the request, which may hold the token.
    """
    fault = record.exc_info[1] if record.exc_info else None
    if isinstance(fault, HttpProcessingError | web.RequestPayloadError):
        record.msg, record.args = "%s (%s)", (record.getMessage(), type(fault).__name__)
        record.exc_info = record.exc_text = None
    return True


class AccessLogger(AbstractAccessLogger):
    """Method, path, status and time; never the query, which may hold the token."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write one line."""
        path = request.raw_path.partition("?")[0]
        told = {"method": request.method, "path": path, "status": response.status}
        self.logger.info(
            "%s %s %d %.1f ms", *told.values(), time * 1e3,
            extra={**told, "ms": round(time * 1e3, 1), "peer": request.remote},
        )  # fmt: skip
