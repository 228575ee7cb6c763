"""Environments of several agents as columns of one vector environment, over PettingZoo's parallel interface."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import product
from typing import Literal, cast

import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from clipper.data.tree_type import Tree
from clipper.data.values import shown
from clipper.environments.agents.names import Begun, Parallel, factory_of, is_pettingzoo, parallel, playing
from clipper.environments.agents.views import HasState, Views, alike, legal_choices, padded_choices
from clipper.environments.checks import AGENTS, DECIDES, MASK_KEYS, TEAM_REWARD, check_apart
from clipper.environments.sources import source_name
from clipper.environments.state import own_state
from clipper.environments.state_trees import OpaqueError
from clipper.environments.told_episodes import Info
from clipper.errors import ConfigError, EnvironmentContractError
from clipper.spaces.actions import batch, element

Source = str | Callable[[], object] | Sequence[Callable[[], object]]
MASK = MASK_KEYS[0]


class Agents(VectorEnv):
    """E environments of A agents each as N = E·A columns, in next-step autoreset mode: column e·A + a is agent a of
    environment e, in the order of ``possible_agents``.

    ``source`` is a name, ``pettingzoo:mpe2.simple_spread_v3,N=3``, or a factory of parallel environments in
    PettingZoo's form, or a list of factories, one for each environment. Environment e begins with ``seed + e``.

    ``info["agents_that_decide"]``, ``[N]``, says which columns decide next. An agent that ends before its
    environment has one row with its last observation, then rows of zeros, none of which is a decision; once all have
    ended the environment is reset with the next step, and all columns begin. An agent that an episode begins without
    has rows of zeros only.

    ``agent_id``: each agent sees its index, A numbers more (0s and one 1) behind a vector, otherwise a key ``agent``.
    ``pad``: where spaces differ, vectors are filled up with zeros, and choices that an agent lacks are masked.
    ``team_reward``: each agent gets the sum of what all get in that step, otherwise its own.
    ``state``: observations get a key ``state``, the environment's ``state()``; or "observations", those of all agents
    one after another, zeros for those that have ended. ``EncoderOptions(critic_only=("state",))`` hides it from the
    actor.

    Raises ``ConfigError`` where agents' spaces differ without ``pad``, where a game of turns cannot be played at once,
    where there is no ``state()``; ``EnvironmentContractError`` where an agent joins in mid-episode, or is left out of
    what a step gives.
    """

    def __init__(
        self,
        source: Source,
        num_envs: int = 0,
        *,
        agent_id: bool = True,
        pad: bool = False,
        team_reward: bool = False,
        state: bool | Literal["observations"] = False,
    ) -> None:
        factories, name, given = factories_of(source, num_envs)
        own: dict[str, object] = {"agent_id": agent_id, "pad": pad, "team_reward": team_reward, "state": state} | given
        wrong = [key for key, x in own.items() if not isinstance(x, bool) and (key, x) != ("state", "observations")]
        if wrong:
            raise ConfigError(
                f"{name}: {wrong[0]} is true or false, not {own[wrong[0]]!r}; state may be observations, too"
            )
        self.name, self.spec = name, EnvSpec(name) if is_pettingzoo(name) else None
        self.worlds: list[Parallel] = [parallel(one, name) for one in factories]
        try:
            check_apart(self.worlds)
            self.learn_spaces(own)
        except BaseException:
            self.close()
            raise

    def learn_spaces(self, own: dict[str, object]) -> None:
        """Agents, and the spaces of their columns; raises ``ConfigError`` where the environments do not fit."""
        first = self.worlds[0]
        self.possible: list[Hashable] = list(first.possible_agents)
        self.agents, self.count = tuple(map(str, self.possible)), len(self.possible)
        self.check_same()
        self.num_envs, self.shares, self.shows = len(self.worlds) * self.count, bool(own["team_reward"]), own["state"]
        seen, acts = ([f(agent) for agent in self.possible] for f in (first.observation_space, first.action_space))
        self.views = Views(self.agents, seen, self.state_space(), bool(own["agent_id"]), bool(own["pad"]))
        one = alike(self.agents, acts, "action", bool(own["pad"]))
        self.single_action_space = padded_choices(acts) if one is None else one
        self.limits = legal_choices(acts, padded_choices(acts)) if one is None else None
        """Which choices each agent has, ``[A, K]``, where some have fewer."""
        self.masked = np.zeros(self.count, dtype=bool)
        """Which agents have given a mask."""
        self.single_observation_space = self.views.space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch(self.single_action_space, self.num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, AGENTS: self.agents, TEAM_REWARD: self.shares}
        self.decides = np.zeros(self.num_envs, dtype=bool)
        """Which columns decide next."""

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[Tree, Info]:
        """Begin an episode in each environment."""
        arrays, masks = self.views.empty(self.num_envs), Masks(self.num_envs, self.limits, self.masked)
        for e in range(len(self.worlds)):
            self.begin(e, arrays, masks, None if seed is None else seed + e, options)
        return self.views.tree(arrays), self.info(masks)

    def step(self, actions: Tree) -> tuple[Tree, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Step the environments in which somebody decides, reset the others."""
        n = self.num_envs
        arrays, masks, reward = self.views.empty(n), Masks(n, self.limits, self.masked), np.zeros(n)
        ends = np.zeros((2, n), dtype=bool)  # terminated, truncated
        for e in range(len(self.worlds)):
            if self.decides[self.columns(e)].any():
                self.go_on(e, actions, arrays, masks, reward, ends)
            else:
                self.begin(e, arrays, masks)
        return self.views.tree(arrays), reward, ends[0], ends[1], self.info(masks)

    def columns(self, e: int) -> slice:
        """Those of the agents of environment e."""
        return slice(e * self.count, (e + 1) * self.count)

    def begin(
        self, e: int, arrays: list[np.ndarray], masks: "Masks", seed: int | None = None, options: dict | None = None
    ) -> None:
        """Reset environment e."""
        env = self.worlds[e]
        answer: object = env.reset(seed=seed, options=options)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise EnvironmentContractError(f"{self.name} gave {shown(answer)} from its reset: give observations, infos")
        obs, infos = answer
        part = playing(env)
        if not part or not part <= set(self.possible):
            raise EnvironmentContractError(
                f"{self.name} began an episode with the agents {sorted(map(str, part))}: they must be some of its "
                f"possible_agents, {', '.join(self.agents)}"
            )
        for a, agent in enumerate(self.possible):
            column = e * self.count + a
            self.decides[column] = agent in part
            if agent in part:
                self.views.put(arrays, column, a, self.of(obs, agent, "observation"))
                masks.note(column, infos, agent)
        self.show_state(e, [e * self.count + a for a, agent in enumerate(self.possible) if agent in part], arrays)

    def go_on(
        self, e: int, actions: Tree, arrays: list[np.ndarray], masks: "Masks", reward: np.ndarray, ends: np.ndarray
    ) -> None:
        """Step environment e."""
        env, columns = self.worlds[e], (self.columns(e).start + np.flatnonzero(self.decides[self.columns(e)])).tolist()
        acting = [self.possible[column % self.count] for column in columns]
        space = self.single_action_space
        answer: object = env.step({agent: element(space, actions, i) for agent, i in zip(acting, columns, strict=True)})
        if not isinstance(answer, tuple) or len(answer) != 5:
            raise EnvironmentContractError(
                f"{self.name} gave {shown(answer)} from a step: give observations, rewards, terminations, truncations "
                "and infos, a dict of each agent's each"
            )
        obs, rewards, terminated, truncated, infos = answer
        for column, agent in zip(columns, acting, strict=True):
            self.views.put(arrays, column, column % self.count, self.of(obs, agent, "observation"))
            reward[column] = self.of(rewards, agent, "reward")
            ends[:, column] = self.of(terminated, agent, "termination"), self.of(truncated, agent, "truncation")
            self.decides[column] = not ends[:, column].any()
            if self.decides[column]:
                masks.note(column, infos, agent)
        if self.shares:
            reward[columns] = reward[columns].sum()
        self.check_agents(env, acting, [self.possible[i % self.count] for i in columns if self.decides[i]])
        self.show_state(e, columns, arrays)

    def check_agents(self, env: Parallel, acting: Sequence[Hashable], left: Sequence[Hashable]) -> None:
        """Raise where an agent joined in mid-episode, or left without an end."""
        now = playing(env)
        if joined := now.difference(acting):
            raise EnvironmentContractError(
                f"in {self.name} {', '.join(sorted(map(str, joined)))} joined in mid-episode: agents may only leave; "
                "let them take part from the beginning, with nothing to do at first"
            )
        if gone := set(left).difference(now):
            raise EnvironmentContractError(
                f"in {self.name} {', '.join(sorted(map(str, gone)))} left agents without being terminated or "
                "truncated: say in which way the agent's episode has ended"
            )

    def of(self, given: Mapping[Hashable, Tree], agent: Hashable, kind: str) -> Tree:
        """What an environment's dict says of an agent that took part."""
        if not isinstance(given, Mapping) or agent not in given:
            raise EnvironmentContractError(
                f"{self.name} gave no {kind} of {agent}, which took part: give one of each agent that acted, also in "
                "the step in which it ends"
            )
        return given[agent]

    def show_state(self, e: int, columns: Sequence[int], arrays: list[np.ndarray]) -> None:
        """The environment's state into the observations of those that took part."""
        env = self.worlds[e]
        if self.shows == "observations":
            self.views.put_state(arrays, columns, self.views.together(arrays, self.columns(e)))
        elif self.shows and isinstance(env, HasState):
            self.views.put_state(arrays, columns, env.state())

    def state_space(self) -> Box | Literal["observations"] | None:
        """Of the state that observations show; ``ConfigError`` where the environment has none."""
        if not self.shows:
            return None
        if self.shows == "observations":
            return "observations"
        if self.shows is not True:
            raise ConfigError(f"state is {shown(self.shows)}: write True, False or observations")
        env = self.worlds[0]
        if not isinstance(env, HasState) or not isinstance(env.state_space, Box):
            raise ConfigError(
                f"{self.name} has no state() with a state_space that is a Box: set state='observations', which is what "
                "all agents see, one after another"
            )
        return env.state_space

    def check_same(self) -> None:
        """Raise ``ConfigError`` where environments have other agents than the first."""
        if not self.possible:
            raise ConfigError(f"{self.name} has no possible_agents: it needs one at least")
        if twice := next((agent for agent in self.agents if self.agents.count(agent) > 1), None):
            raise ConfigError(f"{self.name} has two agents of one name in possible_agents, {twice}: each needs its own")
        other = next((i for i, env in enumerate(self.worlds) if list(env.possible_agents) != self.possible), None)
        if other is not None:
            theirs = ", ".join(map(str, self.worlds[other].possible_agents))
            raise ConfigError(
                f"environment {other} of {self.name} has the agents {theirs}, and environment 0 "
                f"{', '.join(self.agents)}: all need the same, in one order"
            )
        first = self.worlds[0]
        for (i, env), agent in product(enumerate(self.worlds), self.possible):
            for f, known in ((env.observation_space, first.observation_space), (env.action_space, first.action_space)):
                if f(agent) != known(agent):
                    raise ConfigError(
                        f"environment {i} of {self.name} has {f(agent)} for {agent}, and environment 0 {known(agent)}: "
                        "all need the same spaces"
                    )

    def info(self, masks: "Masks") -> Info:
        """What the environment reports beside observations and rewards."""
        return {DECIDES: self.decides.copy(), **masks.told()}

    def render(self) -> tuple[np.ndarray, ...]:
        """A picture of each environment."""
        return tuple(cast(Begun, env).render() for env in self.worlds)

    def close_extras(self, **kwargs: object) -> None:
        """Close the environments."""
        for env in self.worlds:
            env.close()

    def get_state(self) -> dict[str, object]:
        """The environments' own states, where all have ``get_state`` and ``set_state``; PettingZoo's have not."""
        own = [own_state(env) for env in self.worlds]
        if None in own:
            raise OpaqueError
        states = [env.get_state() for env in own if env is not None]
        return {"environments": states, "decides": self.decides.copy()}

    def set_state(self, tree: Tree) -> None:
        """The inverse of ``get_state``."""
        for env, state in zip(map(own_state, self.worlds), tree["environments"], strict=True):
            assert env is not None
            env.set_state(state)
        self.decides = tree["decides"].copy()


class Masks:
    """What agents may do next, as their infos say it and as their choices are fewer than the widest one's."""

    def __init__(self, n: int, limits: np.ndarray | None, masked: np.ndarray) -> None:
        self.given: list[Tree] = [None] * n
        self.masked = masked
        self.limits = None if limits is None else np.tile(limits, (n // len(limits), 1))

    def note(self, column: int, infos: Mapping[Hashable, Info], agent: Hashable) -> None:
        """Take the mask of an agent that decides next, where its info has one."""
        info = infos.get(agent, {})
        mask = self.given[column] = next((info[key] for key in MASK_KEYS if key in info), None)
        if self.limits is not None:
            self.limit(column, mask, agent)

    def limit(self, column: int, mask: Tree, agent: Hashable) -> None:
        """Leave an agent the choices of its own that its mask does."""
        assert self.limits is not None
        of_all = column % len(self.masked)
        if mask is None and self.masked[of_all]:
            raise EnvironmentContractError(f"{agent} has no info[{MASK!r}], though it had one earlier: give it always")
        if mask is None:
            return
        self.masked[of_all] = True
        array, own = np.asarray(mask), int(self.limits[column].sum())
        if array.dtype != bool and not (array.dtype.kind in "iu" and np.isin(array, (0, 1)).all()):
            raise EnvironmentContractError(f"the mask of {agent} holds {shown(mask)}: give booleans, or 0 and 1")
        if array.shape not in ((own,), self.limits[column].shape):
            raise EnvironmentContractError(f"the mask of {agent} has shape {array.shape}, and it has {own} choices")
        self.limits[column, : len(array)] &= array.astype(bool)

    def told(self) -> Info:
        """As a vector environment's info has it; {} where there is none."""
        present = np.array([mask is not None for mask in self.given])
        if self.limits is not None:
            return {MASK: self.limits}
        return {MASK: list(self.given), f"_{MASK}": present} if present.any() else {}


def factories_of(source: Source, num_envs: int) -> tuple[list[Callable[[], object]], str, dict[str, object]]:
    """What makes each environment, what errors call them, and the adapter's arguments behind a name."""
    given: dict[str, object] = {}
    if isinstance(source, str):
        if not is_pettingzoo(source):
            raise ConfigError(f"{source!r} names no parallel environment: write pettingzoo:MODULE, or give a factory")
        factory, given, name = factory_of(source)
        return [factory] * checked_number(num_envs or 1), name, given
    if isinstance(source, list | tuple):
        if not source or num_envs not in (0, len(source)):
            raise ConfigError(f"num_envs is {num_envs}, and there are {len(source)} factories: leave out num_envs")
        return list(source), source_name(source[0]), given
    if not callable(source):
        raise ConfigError(f"{shown(source)} is no factory of parallel environments: write Agents(lambda: my_env(…), 8)")
    return [source] * checked_number(num_envs or 1), source_name(source), given


def checked_number(num_envs: int) -> int:
    """The number of environments, if it is one."""
    if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
        raise ConfigError(f"num_envs must be at least 1, a whole number, not {num_envs!r}")
    return int(num_envs)
