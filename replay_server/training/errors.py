"""Why a training cannot be obeyed; each becomes one error of the protocol."""

from __future__ import annotations

from typing import Final, Literal

TrainingCode = Literal[
    "training_off", "too_many_trainers", "already_running", "no_training", "wrong_state",
    "bad_parameter", "locked_parameter", "bad_qtable", "training_failed", "no_answer",
]  # fmt: skip

STATUSES: Final[dict[TrainingCode, int]] = {
    "training_off": 403,
    "too_many_trainers": 409,
    "already_running": 409,
    "no_training": 404,
    "wrong_state": 409,
    "bad_parameter": 400,
    "locked_parameter": 409,
    "bad_qtable": 400,
    "training_failed": 400,
    "no_answer": 504,
}


class TrainingError(Exception):
    """A request about training that was not obeyed; nothing has changed.

    Attributes:
        code: one of the protocol's codes.
    """

    def __init__(self, code: TrainingCode, message: str) -> None:
        super().__init__(message)
        self.code: TrainingCode = code
