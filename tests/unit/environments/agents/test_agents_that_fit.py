"""Spaces that differ, masks, PettingZoo's own environments by name, and refusals."""

from functools import partial
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from scripted_agents import FOREVER, Script, rollouts_of
from shape_checker import rest

import clipper
from clipper.environments import make
from clipper.errors import ClipperError, ConfigError, EnvironmentContractError, MissingPackageError


class Unlike(Script):
    """Agent a sees a + 1 numbers and has a + 2 choices; agent 1 is given a mask of them."""

    def observation_space(self, agent: str) -> gymnasium.Space:
        return Box(-1, 1 + int(agent[-1]), (1 + int(agent[-1]),))

    def action_space(self, agent: str) -> gymnasium.Space:
        return Discrete(2 + int(agent[-1]))

    def see(self, agent: str) -> np.ndarray:
        return np.full(1 + int(agent[-1]), 0.5, np.float32)

    def reset(self, seed=None, options=None):
        obs, infos = super().reset(seed, options)
        infos["agent_1"]["action_mask"] = np.array([0, 1, 1])
        return obs, infos

    def step(self, actions):
        obs, paid, terminated, truncated, infos = super().step(actions)
        infos["agent_1"]["action_mask"] = np.ones(3, bool)
        return obs, paid, terminated, truncated, infos


class Masked(Script):
    """Its observations hold a mask, as PettingZoo's classic games have it."""

    def observation_space(self, agent: str) -> gymnasium.Space:
        return Dict({"observation": Box(-100, 100, (4,)), "action_mask": Box(0, 1, (2,), np.int8)})

    def see(self, agent: str) -> Any:
        mask = np.array([self.time % 2 == 0, self.time % 2 == 1], np.int8)
        return {"observation": super().see(agent), "action_mask": mask}


class Joins(Script):
    """Agent 1 joins after the first step."""

    def step(self, actions):
        answer = super().step(actions)
        self.agents = list(self.possible_agents)
        return answer


class Leaves(Script):
    """Agent 1 leaves without an end."""

    def step(self, actions):
        answer = super().step(actions)
        self.agents = [agent for agent in self.agents if agent != "agent_1"]
        return answer


class Silent(Script):
    """Says nothing of what agent 1 is paid."""

    def step(self, actions):
        answer = super().step(actions)
        del answer[1]["agent_1"]
        return answer


class Wider(Script):
    """Agent 1 sees one number more than its space says."""

    def see(self, agent: str) -> np.ndarray:
        return np.zeros(4 + int(agent[-1]), np.float32)


class Chess(Script):
    """A game of turns that cannot be played at once."""

    metadata = {"is_parallelizable": False}  # noqa: RUF012

    def agent_iter(self, max_iter: int = 0) -> None:
        """Whose turn it is."""


def test_smaller_spaces_are_filled_up_and_what_an_agent_lacks_is_masked() -> None:
    env = clipper.Agents(partial(Unlike, 0, (FOREVER, FOREVER)), 2, pad=True)
    obs, info = env.reset()
    assert obs.tolist() == [[0.5, 0, 1, 0], [0.5, 0.5, 0, 1]] * 2
    assert env.single_observation_space == Box(np.array([-1, -1, 0, 0], np.float32), np.array([2, 2, 1, 1], np.float32))
    assert info["action_mask"].tolist() == [[True, True, False], [False, True, True]] * 2
    *_, info = env.step(np.zeros(4, np.int64))
    assert info["action_mask"].tolist() == [[True, True, False], [True, True, True]] * 2
    rollouts, policy = rollouts_of(env)
    steps, _ = rollouts.collect(policy, horizon=100)
    assert (steps.action[:, ::2] < 2).all()
    assert (steps.action[:, 1::2] == 2).any()


def test_masks_in_observations_bind_and_rows_of_ended_agents_need_none() -> None:
    rollouts, policy = rollouts_of(clipper.Agents(partial(Masked, 0, (3, 20)), 2))
    steps, _ = rollouts.collect(policy, horizon=40)
    time = steps.obs["observation"][..., 3].long()
    assert steps.action[steps.mask].tolist() == (time % 2)[steps.mask].tolist()


class MaskedInTurn(Unlike):
    """Agent 1, which has three choices, gets each of these masks in turn; agent 0 none."""

    masks: ClassVar[list[Any]] = []

    def infos(self) -> dict[str, Any]:
        mask = self.masks[min(self.turn, len(self.masks) - 1)]
        return {"agent_0": {}, "agent_1": {} if mask is None else {"action_mask": mask}}

    def reset(self, seed=None, options=None):
        obs, _ = super().reset(seed, options)
        self.turn = 0
        return obs, self.infos()

    def step(self, actions):
        obs, paid, terminated, truncated, _ = super().step(actions)
        self.turn += 1
        return obs, paid, terminated, truncated, self.infos()


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ([[1, 1, 0], None], r"agent_1 has no info\['action_mask'\], though it had one earlier"),
        ([[True]], r"mask of agent_1 has shape \(1,\), and it has 3 choices"),
        ([[1, 0, 1, 1, 1]], r"mask of agent_1 has shape \(5,\)"),
        ([[0.2, 0, 7]], "mask of agent_1 holds .*give booleans"),
        ([True], r"mask of agent_1 has shape \(\)"),
    ],
)
def test_masks_of_padded_choices_are_read_or_refused(masks: list[Any], words: str) -> None:
    MaskedInTurn.masks = masks
    env = clipper.Agents(MaskedInTurn, 1, pad=True)

    def play() -> None:
        env.reset(seed=0)
        env.step(np.zeros(2, np.int64))

    with pytest.raises(EnvironmentContractError, match=words):
        play()
    MaskedInTurn.masks = [[0, 1, 1], np.array([1, 0, 1], np.int8)]
    env = clipper.Agents(MaskedInTurn, 1, pad=True)
    assert env.reset(seed=0)[1]["action_mask"].tolist() == [[True, True, False], [False, True, True]]
    assert env.step(np.ones(2, np.int64))[4]["action_mask"].tolist() == [[True, True, False], [True, False, True]]


class Closing(Script):
    """It counts how often one was closed."""

    closed: ClassVar[int] = 0

    def close(self) -> None:
        Closing.closed += 1


class Other(Script):
    """Its agents have more choices."""

    def action_space(self, agent: Any) -> Discrete:
        return Discrete(4)


def test_what_does_not_fit_is_refused_by_name() -> None:
    rest()

    def raises(text: str, source: Any, kind: type[ClipperError] = ConfigError, steps: int = 0, **options: Any) -> None:
        def play() -> None:
            env = clipper.Agents(source, 1, **options)
            env.reset()
            for _ in range(steps):
                env.step(np.zeros(2, np.int64))

        with pytest.raises(kind, match=text):
            play()

    raises("agent_0 are Box.* agent_1 Box.*pad=True", Unlike)
    raises("no state", Script, state=True)
    raises("team_reward is true or false, not 'no'", Script, team_reward="no")
    one = Script()
    with pytest.raises(ConfigError, match=r"environments 0 and 2 are the same object, a Script"):
        clipper.Agents([lambda: one, Script, lambda: one])
    raises("game of turns", Chess)
    raises("agent_1 joined in mid-episode", partial(Joins, 0, (FOREVER,) * 2, (0,)), EnvironmentContractError, 1)
    raises("agent_1 left agents without", partial(Leaves, 0, (FOREVER,) * 2), EnvironmentContractError, 1)
    raises("no reward of agent_1", partial(Silent, 0, (FOREVER,) * 2), EnvironmentContractError, 1)
    raises("agent agent_1 gave observations of shape", Wider, EnvironmentContractError)
    raises("no parallel environment", partial(gymnasium.make, "CartPole-v1"), EnvironmentContractError)
    raises("pettingzoo:MODULE", "CartPole-v1")
    raises("no module 'nowhere'", "pettingzoo:nowhere", MissingPackageError)
    raises("neither parallel_env nor env", "pettingzoo:json")
    kinds = [one for one in (Closing, Other) for _ in range(2)]
    with pytest.raises(ConfigError, match=r"environment 2 of .* has Discrete\(4\) for agent_0"):
        clipper.Agents(kinds)
    assert Closing.closed == 2, "what was made is closed"
    with pytest.raises(ConfigError, match="stepped together"):
        clipper.train("pettingzoo:json", vector="workers")
    with pytest.raises(EnvironmentContractError, match=r"clipper\.Agents"):
        make(Script, 2)  # pyright: ignore[reportArgumentType]


def test_environments_of_pettingzoo_s_go_by_names_with_arguments() -> None:
    simple_spread = pytest.importorskip("mpe2.simple_spread_v3")
    name = "pettingzoo:mpe2.simple_spread_v3,N=2,max_cycles=4,team_reward=true,state=true"
    env = make(name, 2)
    obs, info = env.reset(seed=5)
    assert env.num_envs == 4
    plain = simple_spread.parallel_env(N=2, max_cycles=4)
    rewards, decides = [], [info["agents_that_decide"].all()]
    own, _ = plain.reset(seed=6)  # of environment 1
    for t in range(5):
        if t < 4:
            assert np.array_equal(obs["state"][2], plain.state())
            assert np.array_equal(obs["observation"][2:, :-2], np.stack(list(own.values())))
            own, paid, *_ = plain.step({"agent_0": t, "agent_1": 1})
            rewards.append(sum(paid.values()))
        obs, reward, _, truncated, info = env.step(np.array([0, 0, t, 1]))
        decides.append(info["agents_that_decide"].all())
        assert reward[2:].tolist() == ([rewards[t]] * 2 if t < 4 else [0, 0])
        assert truncated.all() == (t == 3)
    assert decides == [True, True, True, True, False, True]
    assert obs["observation"][:, -2:].tolist() == [[1, 0], [0, 1]] * 2


def test_a_run_by_name_is_evaluated_by_name(tmp_path: Any) -> None:
    pytest.importorskip("mpe2")
    name = "pettingzoo:mpe2.simple_spread_v3,N=2,max_cycles=4"
    run = clipper.train(name, clipper.PPO(horizon=10), num_envs=2, total_steps=60, run_dir=tmp_path / "run")
    assert run.rollouts.num_envs == 4
    with pytest.raises(ConfigError, match="name it again"):
        clipper.evaluate(tmp_path / "run")
    evaluation = clipper.evaluate(tmp_path / "run", name, episodes=3)
    assert evaluation.lengths.tolist() == [4, 4, 4]
    assert clipper.train(name, resume=tmp_path / "run", total_steps=120).steps >= 120
