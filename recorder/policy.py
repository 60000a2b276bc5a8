"""What a recording policy is: a frozen value that says which episodes keep their steps.

A policy decides once an episode is known. `start` gives a `Decider`, which sees each
finished episode in order and answers with a verdict for each, in the same order, some of
them later: whether an episode stands five before a change of stage is known five episodes
on. What a decider holds is bounded by the policy's windows, never by the run. No I/O.

The kinds stand in `policies`; here are what they share, functions of the user's as
policies, and the two ways to combine policies.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from recorder.episode import EpisodeSummary
from recorder.errors import PolicyError
from recorder.facts import as_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedEpisode(EpisodeSummary):
    """What a policy sees: the summary, and the reward of the last step.

    Attributes:
        last_reward: NaN where only the summary is known.
    """

    last_reward: float = math.nan


class Verdict(NamedTuple):
    """Whether an episode's steps are kept, and why; no reason where all are."""

    keep: bool
    reason: str | None = None


DROP = Verdict(False)
Keep = Callable[[EpisodeSummary], Any]


class Decider(Protocol):
    """A policy at work on one run."""

    def see(self, episode: EpisodeSummary) -> Sequence[Verdict]:
        """Take the next finished episode; return verdicts on the oldest still without one."""

    def finish(self) -> Sequence[Verdict]:
        """No more episodes come: return the verdicts still owed."""


class Policy:
    """What all policies are. Combine two with `|` (either keeps) and `&` (both keep)."""

    portable: ClassVar[bool] = True
    """Whether `str` says all of it, so that another process can decide as this one would."""

    def start(self) -> Decider:
        """Return a decider that has seen nothing yet."""
        raise NotImplementedError

    def __or__(self, other: Policy | Keep) -> Policy:
        return Either(_flat(Either, self, policy_of(other)))

    def __and__(self, other: Policy | Keep) -> Policy:
        return Both(_flat(Both, self, policy_of(other)))

    def __ror__(self, other: Keep) -> Policy:
        return policy_of(other) | self

    def __rand__(self, other: Keep) -> Policy:
        return policy_of(other) & self


class AtOnce(Policy):
    """A policy that decides on each episode when it sees it."""

    def start(self) -> Decider:
        """Return a decider that is never late."""
        return Immediate(self.judge)

    def judge(self, episode: EpisodeSummary) -> Verdict:
        """Return the verdict on one episode."""
        raise NotImplementedError


class Immediate:
    """Decides on each episode when it sees it."""

    def __init__(self, judge: Callable[[EpisodeSummary], Verdict]) -> None:
        self._judge = judge

    def see(self, episode: EpisodeSummary) -> Sequence[Verdict]:
        """Return the verdict on it."""
        return (self._judge(episode),)

    def finish(self) -> Sequence[Verdict]:
        """Return none: none is owed."""
        return ()


@dataclass(frozen=True)
class When(Policy):
    """See `when`."""

    keep: Keep
    reason: str

    portable = False

    def start(self) -> Decider:
        """Return a decider that calls `keep`."""
        return Immediate(_Asked(self))

    def __str__(self) -> str:
        return f"when {self.reason}"


class _Asked:
    def __init__(self, policy: When) -> None:
        self._policy = policy
        self._told = False

    def __call__(self, episode: EpisodeSummary) -> Verdict:
        policy = self._policy
        try:
            answer = policy.keep(episode)
            if isinstance(answer, str):
                return Verdict(bool(answer), as_text(answer) or None)
            return Verdict(True, policy.reason) if answer else DROP
        except BaseException:  # SystemExit too: it ends no more than this call
            if not self._told:
                log.exception(
                    "%s failed on episode %d; it is kept, and so is each that it fails on",
                    policy.reason,
                    episode.episode,
                )
            self._told = True
            return Verdict(True, f"{policy.reason} failed")


@dataclass(frozen=True)
class Composed(Policy):
    """Several policies as one."""

    parts: tuple[Policy, ...]

    joint: ClassVar[str]
    sign: ClassVar[str]

    @property
    def portable(self) -> bool:  # type: ignore[override]
        """Whether all parts are."""
        return all(part.portable for part in self.parts)

    def start(self) -> Decider:
        """Return a decider as late as the latest of its parts, so that no reason is missing."""
        return _Merged([part.start() for part in self.parts], self._join)

    def _join(self, verdicts: Sequence[Verdict]) -> Verdict:
        raise NotImplementedError

    def _reason(self, verdicts: Iterable[Verdict]) -> str | None:
        reasons = dict.fromkeys(v.reason for v in verdicts if v.keep and v.reason)
        return self.joint.join(reasons) or None

    def __str__(self) -> str:
        inner = (f"({part})" if isinstance(part, Composed) else str(part) for part in self.parts)
        return f" {self.sign} ".join(inner)


class Either(Composed):
    """Kept if any part keeps; the reasons of all that do."""

    joint, sign = "; ", "|"

    def _join(self, verdicts: Sequence[Verdict]) -> Verdict:
        if not any(verdict.keep for verdict in verdicts):
            return DROP
        return Verdict(True, self._reason(verdicts))


class Both(Composed):
    """Kept if all parts keep."""

    joint, sign = " and ", "&"

    def _join(self, verdicts: Sequence[Verdict]) -> Verdict:
        if not all(verdict.keep for verdict in verdicts):
            return DROP
        return Verdict(True, self._reason(verdicts))


class _Merged:
    def __init__(
        self, deciders: list[Decider], join: Callable[[Sequence[Verdict]], Verdict]
    ) -> None:
        self._deciders, self._join = deciders, join
        self._held: list[deque[Verdict]] = [deque() for _ in deciders]

    def see(self, episode: EpisodeSummary) -> Sequence[Verdict]:
        for held, decider in zip(self._held, self._deciders, strict=True):
            held.extend(decider.see(episode))
        return self._ready()

    def finish(self) -> Sequence[Verdict]:
        for held, decider in zip(self._held, self._deciders, strict=True):
            held.extend(decider.finish())
        return self._ready()

    def _ready(self) -> list[Verdict]:
        verdicts = []
        while all(self._held):
            verdicts.append(self._join([held.popleft() for held in self._held]))
        return verdicts


def when(keep: Keep, reason: str | None = None) -> Policy:
    """Keep what `keep(episode)` says.

    It is called on a thread of the recorder. If it fails, that is logged once, and the
    episode is kept: no data is lost by a fault in it.

    Args:
        keep: gets each `FinishedEpisode` in order; returns whether to keep its steps, or
            the reason for it.
        reason: stored with each that is kept; the function's name where None.
    """
    name = getattr(keep, "__name__", type(keep).__name__)
    return When(keep, reason or ("keep" if name == "<lambda>" else name))


def policy_of(value: Policy | Keep) -> Policy:
    """Return a policy from one, or from a function as `when` takes.

    Raises:
        PolicyError: it is neither.
    """
    if isinstance(value, Policy):
        return value
    if callable(value):
        return when(value)
    raise PolicyError(
        f"expected a policy or a function of an episode, got {value!r}; write for example "
        "every(100) | failures()"
    )


def _flat(kind: type[Composed], *parts: Policy) -> tuple[Policy, ...]:
    """One level for `a | b | c`."""
    flat: list[Policy] = []
    for part in parts:
        flat.extend(part.parts if type(part) is kind else (part,))
    return tuple(flat)
