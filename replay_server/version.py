"""The version that the server tells its clients."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("episode-reel")
except PackageNotFoundError:  # a checkout that was never installed
    VERSION = "0+checkout"
