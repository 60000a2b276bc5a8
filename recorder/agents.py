"""Several agents in one environment: whose step each step is.

Agents that share an environment have one tape, on which each step says whose it is: a
channel `agent_id`, told by name, stored as a small number. Their observations and actions
are of one space; where they are not, declare a Dict space with a part for each agent and
record one step for all.

Turn by turn, as PettingZoo's AEC environments (the reward comes with the agent's next turn):

    recorder = EpisodeRecorder(
        "runs",
        observation_space=env.observation_space(env.possible_agents[0]),
        action_space=env.action_space(env.possible_agents[0]),
        agents=env.possible_agents,
    )
    env.reset()
    held = {}
    for agent in env.agent_iter():
        observation, reward, terminated, truncated, info = env.last()
        if agent in held:
            recorder.record_step(*held.pop(agent), reward, agent_id=agent)
        over = terminated or truncated
        action = None if over else policies[agent](observation)
        if not over:
            held[agent] = observation, action
        env.step(action)
    recorder.finish_episode(observation, terminated=terminated, truncated=truncated)

All at once, as its parallel environments (a step for each agent, in turn):

    observations, infos = env.reset()
    while env.agents:
        actions = {agent: policies[agent](observations[agent]) for agent in env.agents}
        after, rewards, terminations, truncations, infos = env.step(actions)
        for agent, action in actions.items():
            recorder.record_step(observations[agent], action, rewards[agent], agent_id=agent)
        observations = after
    recorder.finish_episode(
        terminated=any(terminations.values()), truncated=any(truncations.values())
    )

Read back:

    (agent_id,) = [c for c in run.info.channels if c.name == "agent_id"]
    agent_id.named(run.load(0).channels["agent_id"])     # ["red", "blue", "red", ...]

An episode's return is the sum over all agents, its length the steps of all.
"""

from __future__ import annotations

from collections.abc import Iterable

from recorder.columns import Channel, check_channels
from recorder.errors import ChannelError


def with_agents(channels: Iterable[Channel], agents: Iterable[str]) -> tuple[Channel, ...]:
    """Return the channels, and `agent_id` before them if there are agents.

    Raises:
        ChannelError: a name stands twice, or `agents` is one name and no list of them.
    """
    if isinstance(agents, str):
        raise ChannelError(
            f"expected agents as a list of names, got {agents!r}; write [{agents!r}]"
        )
    if not isinstance(agents, Iterable):
        raise ChannelError(
            f"expected agents as a list of names, got {agents!r}; for example ['red', 'blue']"
        )
    names = tuple(agents)
    own = (Channel("agent_id", "int16", labels=names),) if names else ()
    return (*own, *check_channels(channels))
