"""The replay server: runs played back over HTTP and WebSocket, live or from history."""

from replay_server.app import ReplayServer, ServerConfig, make_app
from replay_server.thread import ServerThread, serve_in_thread
from replay_server.version import VERSION

__all__ = [
    "VERSION",
    "ReplayServer",
    "ServerConfig",
    "ServerThread",
    "make_app",
    "serve_in_thread",
]
