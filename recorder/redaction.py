"""What must not be stored: secrets on a command line, and whatever the user names."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from recorder.errors import OptionError

REDACTED = "[redacted]"
_SECRET = re.compile(
    r"(^|[-_.])(token|password|passwd|passphrase|pwd|secret|credentials?|auth"
    r"|(api|access|secret|private|auth)[-_]?key)$",
    re.IGNORECASE,
)
_VALUE_LEAST = 4  # a shorter value of an environment variable would be found everywhere


class Redaction:
    """Replaces what must not be stored by `[redacted]`.

    Values of options like `--token`, `--password` or `--api-key` are replaced unasked,
    and so is text under such a name in a mapping.

    Args:
        names: more names: of options, of keys at any depth, of fields of the provenance
            (`host`, `user`, ...), and of environment variables, whose values are then
            replaced wherever they stand. Case, dashes and underscores make no difference.

    Raises:
        OptionError: `names` is no list of names.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        told: Any = names
        if isinstance(told, str):
            raise OptionError(f"expected redact as a list of names, got {told!r}; write [{told!r}]")
        told = [*told] if isinstance(told, Iterable) else told
        if not isinstance(told, list) or not all(isinstance(name, str) for name in told):
            raise OptionError(
                f"expected redact as a list of names, got {told!r}; write ['host'], for example"
            )
        self.names: Collection[str] = sorted({_plain(name) for name in told})
        environment = {_plain(name): value for name, value in os.environ.items()}
        self._values = sorted(
            {
                environment[name]
                for name in self.names
                if len(environment.get(name, "")) >= _VALUE_LEAST
            },
            key=len,
            reverse=True,
        )

    def argv(self, words: Sequence[str]) -> list[str]:
        """Return a command line without its secrets."""
        result: list[str] = []
        hidden = False
        for word in words:
            name, joined, _ = word.partition("=")
            is_option = word.startswith("-") and word != "-"
            if hidden and not (is_option and self._hides(name, True)):
                result.append(REDACTED)
                hidden = False
                continue
            hidden = False
            if self._hides(name, is_option) and (is_option or joined):
                result.append(f"{name}={REDACTED}" if joined else word)
                hidden = is_option and not joined
            else:
                result.append(self._text(word))
        return result

    def mapping(self, value: Any) -> Any:
        """Return JSON-ready data without the values of hidden keys, at any depth."""
        if isinstance(value, Mapping):
            return {
                key: REDACTED if self._hidden_key(key, inner) else self.mapping(inner)
                for key, inner in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.mapping(inner) for inner in value]
        return self._text(value) if isinstance(value, str) else value

    def _hidden_key(self, key: Any, value: Any) -> bool:
        name = _plain(str(key))
        return name in self.names or (isinstance(value, str) and bool(_SECRET.search(name)))

    def _hides(self, name: str, is_option: bool) -> bool:
        plain = _plain(name)
        return plain in self.names or (
            bool(_SECRET.search(plain)) and (is_option or "=" not in name)
        )

    def _text(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, REDACTED)
        return text


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_").lower()
