"""What works for a recorder behind its columns: its pump, and what the writer is told to begin."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from recorder.callback import CallbackThread
from recorder.capture import Capture
from recorder.judge import RewardJudge
from recorder.livequeue import LiveQueue
from recorder.opening import Opened
from recorder.policy import Policy
from recorder.pump import Pump
from recorder.redaction import Redaction
from recorder.showcase import Showcase


def make_pump(
    capture: Capture,
    opened: Opened,
    live: LiveQueue,
    callback: CallbackThread | None,
    policy: Policy | None,
    quota_bytes: int | None,
    interval: float,
    started_at: Callable[[], float],
    *,
    now: float,
    redaction: Redaction,
    env_spec: dict[str, Any] | None,
) -> Pump:
    """Return the pump of a recorder, not yet started.

    Args:
        capture: where the training thread appends.
        opened: the run.
        live: gets the newest episodes.
        callback: gets each finished one, if there is a callback.
        policy: decides whose steps are kept; None: all are.
        quota_bytes: bound on the run's file, or None.
        interval: most seconds between a step and its commit.
        started_at: unix seconds at which the running episode began.
        now: unix seconds.
        redaction: what must not be stored.
        env_spec: what it takes to make the environment again, if it is known.
    """
    layout = capture.layout
    return Pump(
        capture,
        Showcase(
            layout,
            live,
            None if callback is None else callback.put,
            opened.episode,
            opened.first_step,
        ),
        opened.run_dir,
        {
            "observation_space": layout.observation_space,
            "action_space": layout.action_space,
            "layout": layout.as_json(),
            "episode": opened.episode,
            "first_step": opened.first_step,
            "lost_before": opened.lost_before,
            "interval": interval,
            # At work in the writer's process, unless it holds a function of the user's.
            "keep": None if policy is None else str(policy) if policy.portable else "",
            "quota": quota_bytes,
            "provenance": {
                "argv": redaction.argv(sys.argv),
                "pid": os.getpid(),
                "at": now,
                "env_spec": env_spec,
            },
            "redact": tuple(redaction.names),
        },
        started_at,
        interval,
        (opened.lock.fileno(),),
        None
        if policy is None or policy.portable
        else RewardJudge(policy, layout, opened.episode, opened.first_step),
    )
