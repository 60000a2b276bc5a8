"""Which episodes keep their steps: the kinds of policy. Pure: no I/O.

    keep = every(100) | stages(before=5, after=10) | percentile(top=1, bottom=1)
    keep = first(10) | (failures() & when(lambda episode: episode.length > 50))

`policy_text` reads, and `str` writes, the form that a person types.
"""

from __future__ import annotations

import math
import operator
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from recorder.episode import EpisodeSummary
from recorder.errors import PolicyError
from recorder.policy import DROP, AtOnce, Decider, Either, Immediate, Policy, Verdict, when

__all__ = [
    "every",
    "failures",
    "first",
    "is_success",
    "keep_all",
    "percentile",
    "stages",
    "successes",
    "triggered",
    "when",
]

WINDOW_MAX = 100_000
STAGES_REMEMBERED = 10_000
COMPARED = {"return": "episode_return", "length": "length", "epsilon": "epsilon"}
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


@dataclass(frozen=True)
class All(AtOnce):
    """See `keep_all`."""

    def judge(self, episode: EpisodeSummary) -> Verdict:
        """Keep it, for no reason of its own."""
        return Verdict(True)

    def __str__(self) -> str:
        return "all"


@dataclass(frozen=True)
class Every(AtOnce):
    """See `every`."""

    n: int

    def __post_init__(self) -> None:
        _check(self.n, "N in 'every N'", 1)

    def judge(self, episode: EpisodeSummary) -> Verdict:
        """Keep episodes 0, n, 2n, ..."""
        return Verdict(True, str(self)) if episode.episode % self.n == 0 else DROP

    def __str__(self) -> str:
        return f"every {self.n}"


@dataclass(frozen=True)
class First(Policy):
    """See `first`."""

    n: int
    of_stage: bool = False

    def __post_init__(self) -> None:
        _check(self.n, "N in 'first N'", 1)

    def start(self) -> Decider:
        """Return a decider; by stage, it counts."""
        return Immediate(_FirstOfStage(self.n) if self.of_stage else self._judge)

    def _judge(self, episode: EpisodeSummary) -> Verdict:
        return Verdict(True, str(self)) if episode.episode < self.n else DROP

    def __str__(self) -> str:
        return f"first {self.n}{' of stage' if self.of_stage else ''}"


class _FirstOfStage:
    """Counts the episodes of each stage; of very many stages it forgets the least recent."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._seen: OrderedDict[str | None, int] = OrderedDict()

    def __call__(self, episode: EpisodeSummary) -> Verdict:
        stage = episode.stage
        before = self._seen.get(stage, 0)
        self._seen[stage] = before + 1
        self._seen.move_to_end(stage)
        if len(self._seen) > STAGES_REMEMBERED:
            self._seen.popitem(last=False)
        return Verdict(True, f"first {self._n} of stage") if before < self._n else DROP


@dataclass(frozen=True)
class Stages(Policy):
    """See `stages`."""

    before: int = 5
    after: int = 10

    def __post_init__(self) -> None:
        _check(self.before, "N in 'stages N before'", 0, WINDOW_MAX)
        _check(self.after, "N in 'stages N after'", 0, WINDOW_MAX)

    def start(self) -> Decider:
        """Return a decider that is `before` episodes late."""
        return _StagesDecider(self.before, self.after)

    def __str__(self) -> str:
        return f"stages {self.before} before {self.after} after"


class _StagesDecider:
    def __init__(self, before: int, after: int) -> None:
        self._before, self._after = before, after
        self._held: deque[list[str]] = deque()  # the reasons of each episode not decided yet
        self._last: EpisodeSummary | None = None
        self._left, self._behind = 0, ""

    def see(self, episode: EpisodeSummary) -> Sequence[Verdict]:
        if self._last is not None and self._last.stage != episode.stage:
            for reasons in self._held:
                reasons.append(f"before stage {_named(episode.stage)}")
            self._left, self._behind = self._after, f"after stage {_named(episode.stage)}"
        self._last = episode
        self._held.append([self._behind] if self._left > 0 else [])
        self._left -= 1
        return (_with(self._held.popleft()),) if len(self._held) > self._before else ()

    def finish(self) -> Sequence[Verdict]:
        verdicts = [_with(reasons) for reasons in self._held]
        self._held.clear()
        return verdicts


@dataclass(frozen=True)
class Extreme(Policy):
    """See `percentile`."""

    top: bool
    percent: float
    window: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.percent <= 100:
            raise PolicyError(f"expected a percentage above 0 and up to 100, got {self.percent!r}")
        _check(self.window, "the window of 'top' and 'bottom'", 1, WINDOW_MAX)

    def start(self) -> Decider:
        """Return a decider that is up to `window` episodes late."""
        return _ExtremeDecider(self)

    def __str__(self) -> str:
        return f"{'top' if self.top else 'bottom'} {_short(self.percent)}% of {self.window}"


class _ExtremeDecider:
    def __init__(self, policy: Extreme) -> None:
        self._policy = policy
        self._keep = Verdict(True, str(policy))
        self._returns: list[float] = []

    def see(self, episode: EpisodeSummary) -> Sequence[Verdict]:
        self._returns.append(episode.episode_return)
        return self.finish() if len(self._returns) == self._policy.window else ()

    def finish(self) -> Sequence[Verdict]:
        returns, self._returns = self._returns, []
        # Rounded first: 0.07 percent of 100 000 is 70, not the 71 that floats would make of it.
        count = math.ceil(round(len(returns) * self._policy.percent / 100, 9))
        sign = -1.0 if self._policy.top else 1.0
        known = (place for place, value in enumerate(returns) if value == value)
        chosen = set(sorted(known, key=lambda place: (sign * returns[place], place))[:count])
        return [self._keep if place in chosen else DROP for place in range(len(returns))]


@dataclass(frozen=True)
class Outcome(AtOnce):
    """See `successes` and `failures`."""

    success: bool

    def judge(self, episode: EpisodeSummary) -> Verdict:
        """Keep it if it is of this outcome."""
        if is_success(episode) is not self.success:
            return DROP
        return Verdict(True, "success" if self.success else "failure")

    def __str__(self) -> str:
        return "successes" if self.success else "failures"


def is_success(episode: EpisodeSummary) -> bool:
    """Return whether an episode reached what it was for, as far as can be told.

    The training loop knows best: a tag `success` or `failure` decides. Else it is a
    success if it terminated and its last reward was positive (its return, where the last
    reward is not known). Termination alone is none: falling down a hole terminates too.
    """
    if "success" in episode.tags or "failure" in episode.tags:
        return "success" in episode.tags
    earned = getattr(episode, "last_reward", math.nan)
    if math.isnan(earned):
        earned = episode.episode_return
    return episode.terminated and not episode.incomplete and earned > 0


@dataclass(frozen=True)
class Compare(AtOnce):
    """Keep where a figure of the summary compares so: `return >= 475`, `length > 400`."""

    name: str
    sign: str
    value: float

    def __post_init__(self) -> None:
        if self.name not in COMPARED or self.sign not in OPERATORS or math.isnan(self.value):
            raise PolicyError(
                f"expected one of {', '.join(COMPARED)}, one of {' '.join(OPERATORS)} and a "
                f"number, got {self.name!r}, {self.sign!r} and {self.value!r}; write for example "
                "Compare('length', '>', 400)"
            )

    def judge(self, episode: EpisodeSummary) -> Verdict:
        """Keep it if it compares so; what is not known compares as nothing."""
        value = getattr(episode, COMPARED[self.name])
        if value is None or not OPERATORS[self.sign](value, self.value):
            return DROP
        return Verdict(True, str(self))

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {_short(self.value)}"


def keep_all() -> Policy:
    """Keep the steps of every episode."""
    return All()


def every(n: int) -> Policy:
    """Keep episodes 0, n, 2n, ...

    Raises:
        PolicyError: `n` is below 1.
    """
    return Every(n)


def first(n: int, *, of_stage: bool = False) -> Policy:
    """Keep the first `n` episodes of the run, or the first `n` of each stage.

    A stage that comes again is not counted anew. Episodes without a stage are one stage.

    Raises:
        PolicyError: `n` is below 1.
    """
    return First(n, of_stage)


def stages(before: int = 5, after: int = 10) -> Policy:
    """Keep episodes around each change of stage (`finish_episode(stage=...)`).

    Args:
        before: how many of those before the first episode of the new stage.
        after: how many of the new stage, that first one included.

    Raises:
        PolicyError: a negative number.
    """
    return Stages(before, after)


def percentile(top: float = 1, bottom: float = 1, window: int = 100) -> Policy:
    """Keep the best and the worst by return of each `window` episodes in a row.

    Of `window` episodes, `top` percent (rounded up; the earlier of equals) are kept, no
    more: that is what deciding afterwards is for. A NaN return is neither good nor bad.

    Args:
        top: percent of the best; 0 for none.
        bottom: percent of the worst; 0 for none.
        window: episodes; the last ones of a run may be fewer.

    Raises:
        PolicyError: percentages out of range, or both 0.
    """
    parts = [
        Extreme(best, share, window) for best, share in ((True, top), (False, bottom)) if share
    ]
    if not parts:
        raise PolicyError("expected a percentage above 0 for top or bottom, got 0 for both")
    return parts[0] if len(parts) == 1 else Either(tuple(parts))


def successes() -> Policy:
    """Keep episodes that reached their goal. See `is_success`."""
    return Outcome(True)


def failures() -> Policy:
    """Keep the episodes that are no successes. See `is_success`."""
    return Outcome(False)


def triggered(episode_trigger: Callable[[int], bool]) -> Policy:
    """Keep what a trigger of Gymnasium's form says, given the episode's number."""
    return when(lambda episode: episode_trigger(episode.episode), "episode_trigger")


def _with(reasons: list[str]) -> Verdict:
    return Verdict(True, "; ".join(reasons)) if reasons else DROP


def _named(stage: str | None) -> str:
    return "none" if stage is None else stage


def _short(number: float) -> str:
    """A number as text, exact, without a point where it is whole."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _check(value: Any, what: str, least: int, most: int = 1 << 62) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        bounds = f"{least} or more" if most > WINDOW_MAX else f"{least} to {most}"
        raise PolicyError(f"expected {bounds} as {what}, got {value!r}")
