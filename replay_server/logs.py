"""The server's log: a line a record, as text or as JSON, without the token.

Secrets are kept out at the source (the access log leaves out the query); what slips
through in a library's message is struck out here.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Final, Literal

Format = Literal["text", "json"]
FIELDS: Final = ("method", "path", "status", "ms", "run", "peer")
_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class WithoutSecrets(logging.Formatter):
    """A formatter that strikes out what nobody is to read.

    Args:
        as_json: a JSON object a line, else text.
        secrets: texts that must not appear.
    """

    def __init__(self, as_json: bool, secrets: tuple[str, ...]) -> None:
        super().__init__(_TEXT)
        self._as_json = as_json
        self._secrets = tuple(secret for secret in secrets if secret)

    def format(self, record: logging.LogRecord) -> str:
        """One record, without the secrets in it."""
        line = self._json(record) if self._as_json else super().format(record)
        for secret in self._secrets:
            line = line.replace(secret, "[token]")
        return line

    def _json(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        told |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


def set_up(form: Format, level: str, secrets: tuple[str, ...]) -> None:
    """Log to standard error from now on.

    Args:
        form: `text` or `json`.
        level: `debug`, `info` (each request too) or `warning`.
        secrets: texts that must not appear.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(WithoutSecrets(form == "json", secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
