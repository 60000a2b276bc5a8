"""What a writer is to leave on the tape: decisions, gathered until they are committed."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterable, Sequence

from recorder.assemble import Piece
from recorder.judge import Judge, last_rewards
from recorder.policy_text import parse_policy
from recorder.pruning import Decision, Ruling
from recorder.quota import Quota
from recorder.segments import MAX_STEP
from recorder.tape import Tape


class Keeping:
    """Gathers decisions and says, for each commit, what they come to.

    Args:
        judge: decides here; None where decisions come from elsewhere, or none come.
        decides: whether decisions come at all; where not, each episode counts as decided.
        quota: looks after the file's size.
        start: global step from which on episodes are decided.
    """

    def __init__(
        self,
        judge: Judge | None = None,
        decides: bool = False,
        quota: Quota | None = None,
        start: int = 0,
    ) -> None:
        self._judge = judge
        self._quota = quota
        self._settled = start if judge is not None or decides else None
        self._waiting: list[Decision] = []
        self._last_reward = math.nan

    @property
    def waiting(self) -> bool:
        """Whether there is something to do, though no steps came."""
        return bool(self._waiting) or (self._quota is not None and self._quota.exceeded)

    def see(self, piece: Piece) -> None:
        """Take a piece of tape that will be committed."""
        if self._judge is None:
            return
        rewards = piece.segment.columns["reward"]
        earned = last_rewards(rewards, piece.segment.ends, self._last_reward)
        if len(rewards):
            self._last_reward = float(rewards[-1])
        self.decide(self._judge.see(piece.ended, earned))

    def decide(self, decisions: Iterable[Decision]) -> None:
        """Take decisions on episodes of pieces that were seen, rising by number."""
        self._waiting += decisions

    def finish(self) -> None:
        """No more pieces come, nor decisions: what has none by now is kept."""
        if self._judge is not None:
            self.decide(self._judge.finish())
        if self._settled is not None:
            self._settled = MAX_STEP

    def ruling(self, pending: Sequence[Piece]) -> Ruling:
        """Return what a commit of these pieces has to do, and note it in their episodes.

        The same is told again until `committed`.
        """
        on_tape: list[Decision] = []
        pieces = iter(pending)
        ended = None
        for decision in self._waiting:
            while ended is None or decision.episode >= ended.first + len(ended):
                piece = next(pieces, None)
                if piece is None:
                    break
                ended = piece.ended
            index = -1 if ended is None else decision.episode - ended.first
            if ended is not None and 0 <= index < len(ended):
                ended.columns["kept"][index] = decision.keep
                ended.columns["reason"][index] = decision.reason
            else:
                on_tape.append(decision)
        settled = self._settled
        if settled is not None and self._waiting:
            settled = max(settled, self._waiting[-1].stop)
        gone = [(decision.first_step, decision.stop) for decision in self._waiting
                if not decision.keep]  # fmt: skip
        if self._quota is not None:
            victims = self._quota.victims(settled)
            on_tape += victims
            gone += [(victim.first_step, victim.stop) for victim in victims]
            if settled is not None and victims:
                settled = max(settled, *(victim.stop for victim in victims))
        return Ruling(on_tape, gone, settled)

    def committed(self, ruling: Ruling) -> None:
        """A ruling was carried out."""
        self._waiting.clear()
        if ruling.settled is not None:
            self._settled = ruling.settled
        if self._quota is not None:
            with contextlib.suppress(sqlite3.Error):  # it is for next time then
                self._quota.look()


def keeping_for(keep: str | None, quota: int | None, tape: Tape, start: int) -> Keeping | None:
    """Return what looks after a policy and a quota, or None where there is neither.

    Args:
        keep: the policy's text; empty where it is at work in the training process; None
            where there is none.
        quota: bytes, or None.
        tape: the run's.
        start: global step at which the running episode began, or the next will.
    """
    if keep is None and quota is None:
        return None
    return Keeping(
        Judge(parse_policy(keep)) if keep else None,
        keep == "",
        Quota(quota, tape) if quota is not None else None,
        start,
    )
