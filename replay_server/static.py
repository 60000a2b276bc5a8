"""The page's files, from the installed wheel or from the checkout's `web/`.

A request's path is looked up in a list of the files there are; it is never made into a
path of the file system. So nothing outside the list can be asked for.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path
from typing import Final

MEDIA_TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
}
_LEFT_OUT: Final = frozenset({"node_modules", "test", "tests"})
_INLINE_SCRIPT: Final = re.compile(r"<script(?P<attributes>[^>]*)>(?P<text>.*?)</script>", re.S)
_NO_PAGE: Final = (
    b"<!doctype html><title>Reel</title><p>The page is not here: expected it in web/ beside "
    b"the package or inside the installed one. Install Reel again, or run <code>make</code>."
)


def find_web_root() -> Path | None:
    """Where the page is: in the installed package, or in the checkout beside it."""
    package = Path(__file__).resolve().parent
    for root in (package / "_web", package.parent / "web"):
        if (root / "index.html").is_file():
            return root
    return None


class Site:
    """The files of one directory.

    Args:
        root: the directory; None looks for it where the page usually is.
    """

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self._files: dict[str, Path] = {}
        self._index: tuple[int, str] = (-1, content_security_policy(""))

    def refresh(self) -> None:
        """List the files, and read the page's inline scripts if it has changed. Blocks."""
        self.root = self.root or find_web_root()
        if self.root is None:
            return
        files: dict[str, Path] = {}
        for folder, folders, names in os.walk(self.root):
            folders[:] = [
                name for name in folders if name not in _LEFT_OUT and not name.startswith(".")
            ]
            for name in names:
                path = Path(folder) / name
                if path.suffix in MEDIA_TYPES and not name.startswith("."):
                    files["/" + path.relative_to(self.root).as_posix()] = path
        if "/index.html" in files:
            files["/"] = files["/index.html"]
            changed = files["/"].stat().st_mtime_ns
            if changed != self._index[0]:
                html = files["/"].read_text(encoding="utf-8")
                self._index = (changed, content_security_policy(html))
        self._files = files

    @property
    def policy(self) -> str:
        """The Content-Security-Policy for the page as it was last read."""
        return self._index[1]

    def find(self, path: str) -> Path | None:
        """The file behind a request's path, if the list has it."""
        return self._files.get(path)

    @property
    def placeholder(self) -> bytes:
        """What to say where there is no page."""
        return _NO_PAGE


def content_security_policy(html: str) -> str:
    """A policy under which a page runs its own files, and of inline scripts exactly those
    that `html` holds (an import map cannot stand in a file)."""
    scripts = ["'self'"]
    for script in _INLINE_SCRIPT.finditer(html):
        if not re.search(r"\bsrc\s*=", script["attributes"]):
            digest = hashlib.sha256(script["text"].encode()).digest()
            scripts.append(f"'sha256-{base64.b64encode(digest).decode()}'")
    return "; ".join(
        [
            "default-src 'self'",
            f"script-src {' '.join(scripts)}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "connect-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
