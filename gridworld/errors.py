"""The errors of this package, under one base.

Each message says what was expected, what came, and what to do next. All are
`ValueError` as well, so that code which knows only Gymnasium catches them.
"""

from __future__ import annotations


class GridWorldError(ValueError):
    """Base of every error that this package raises on purpose."""


class InvalidGrid(GridWorldError):
    """A map or a `GridWorldConfig` that cannot be played."""


class InvalidParameter(GridWorldError):
    """A parameter of the wrong type or out of its range.

    `field` names it, so that a caller can point at its own name for it.
    """

    def __init__(self, field: str, expected: str, came: object, remedy: str) -> None:
        self.field = field
        self.expected = expected
        self.came = came
        self.remedy = remedy
        super().__init__(self.worded(field))

    def worded(self, name: str) -> str:
        """The message with the parameter called `name`."""
        return f"{name} must be {self.expected}, but got {self.came!r}; {self.remedy}."


class UnsupportedSpace(GridWorldError):
    """An observation or action space that a table cannot hold."""


class UnknownEnvironment(GridWorldError):
    """An environment id that is not registered or cannot be made."""


class InvalidCheckpoint(GridWorldError):
    """A checkpoint that is none, is damaged, or belongs to another table or map."""


class InvalidCommand(GridWorldError):
    """A control command that makes no sense as it is, or not now.

    `code` says which way, for programs.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class InvalidCurriculum(GridWorldError):
    """A curriculum that cannot be trained."""
