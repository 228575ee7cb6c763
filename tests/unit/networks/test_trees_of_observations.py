"""Trees of observations on every path: stepping, collecting, training, saving, resuming, predicting."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Dict, Discrete, Text, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import FilterObservation
from torch import Generator
from tree_tasks import Locks, Masked, Secret, Side

import clipper
from clipper.data.trees import each, leaves
from clipper.environments.vector.serial import Serial
from clipper.environments.vector.workers import Workers
from clipper.errors import EnvironmentContractError, NonFiniteError, UnsupportedSpaceError
from clipper.networks.policy_options import EncoderOptions, PolicyOptions
from clipper.rollout.evaluation import evaluate_policy
from clipper.rollout.vector_rollouts import VectorRollouts

SMALL = PolicyOptions(hidden=(16,), normalise_obs=True)


def made(space: Any, options: PolicyOptions = SMALL, actions: Any = None) -> Any:
    return clipper.make_policy(space, actions or Discrete(2), options, Generator().manual_seed(0))


def collected(env: Any, horizon: int = 20) -> Any:
    try:
        state = VectorRollouts(env, 3)
        steps, _ = state.collect(made(env.single_observation_space), horizon=horizon)
    finally:
        env.close()
    return steps, state.obs


def assert_equal_trees(a: Any, b: Any) -> None:
    assert len(leaves(a)) == len(leaves(b))
    assert all(torch.equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


def test_processes_share_trees_and_gymnasium_gives_the_same() -> None:
    expected, last = collected(Serial([Locks] * 3))
    assert expected.obs["inner"][1]["kinds"].shape == (20, 3, 2)
    assert expected.obs["switch"].dtype == torch.int64
    for env in (Workers([Locks] * 3, 2), SyncVectorEnv([Locks] * 3, autoreset_mode=AutoresetMode.NEXT_STEP)):
        steps, obs = collected(env)
        assert_equal_trees(steps, expected)
        assert_equal_trees(obs, last)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_last_observations_of_other_modes(mode: AutoresetMode) -> None:
    env = SyncVectorEnv([Locks] * 3, autoreset_mode=mode)
    policy = made(env.single_observation_space)
    steps, _ = VectorRollouts(env, 3).collect(policy, episodes=6)
    expected, _ = VectorRollouts(Serial([Locks] * 3), 3).collect(policy, episodes=6)
    env.close()
    rows = int(expected.mask.any(1).nonzero().max()) + 1
    assert_equal_trees(each(lambda x: x[:rows], steps.obs), each(lambda x: x[:rows], expected.obs))
    assert torch.equal(steps.mask[:rows], expected.mask[:rows])


class Broken(Locks):
    """Spoils its second observation."""

    def __init__(self, spoil: Any) -> None:
        self.spoil, self.count = spoil, 0

    def draw(self) -> Any:
        obs, self.count = super().draw(), self.count + 1
        return self.spoil(obs) if self.count == 2 else obs


def without_switch(obs: Any) -> Any:
    return {"inner": obs["inner"]}


def flat_bits(obs: Any) -> Any:
    obs["inner"][1]["bits"] = np.zeros(4, np.int8)
    return obs


def fractions(obs: Any) -> Any:
    return obs | {"switch": 0.5}


def not_a_number(obs: Any) -> Any:
    obs["inner"][0][1] = np.nan
    return obs


@pytest.mark.parametrize(
    ("spoil", "error", "why"),
    [
        (without_switch, EnvironmentContractError, r"environment 1 .*without \['switch'\]"),
        (flat_bits, EnvironmentContractError, r"environment 1 .*\['inner'\]\[1\]\['bits'\] of shape \(4,\).*\(3,\)"),
        (fractions, EnvironmentContractError, r"\['switch'\] of float64.*int64"),
        (lambda obs: obs["switch"], EnvironmentContractError, r"without \['inner'\]|without \['switch'\]"),
        (lambda obs: obs | {"switch": 5}, EnvironmentContractError, r"\['switch'\] of 5, .* 3 to 4"),
        (not_a_number, NonFiniteError, r"observation\['inner'\]\[0\] nan from environment 1 .* index \[1\]"),
    ],
)
def test_a_part_that_is_not_as_promised_is_named(spoil: Any, error: type, why: str) -> None:
    with pytest.raises(error, match=why):
        collected(Serial([Locks, lambda: Broken(spoil)]))


def test_a_lone_choice_is_looked_at_too() -> None:
    class Numbered(Locks):
        observation_space: Any = Discrete(2)

        def draw(self) -> Any:
            super().draw()
            return 2 if self.left == 5 else 1

    with pytest.raises(EnvironmentContractError, match=r"environment 0 .*observation of 2, .* 0 to 1"):
        collected(Serial([Numbered]))


def test_bad_numbers_in_a_part_restart_where_that_is_allowed() -> None:
    ready = iter([Broken(not_a_number), Locks()])
    env = Serial([Locks, lambda: next(ready)], max_restarts=1)
    with pytest.warns(UserWarning, match="made anew"):
        steps, _ = VectorRollouts(env, 0).collect(made(env.single_observation_space), horizon=2)
    assert steps.mask.tolist() == [[True, False], [True, True]]


def test_parts_that_are_no_arrays_are_refused_when_made() -> None:
    class Talks(Locks):
        observation_space = Dict({"said": Tuple([Text(3)])})

    with pytest.raises(UnsupportedSpaceError, match=r"observation\['said'\]\[0\] is Text"):
        Serial([Talks])


def stop_after(iteration: int) -> Any:
    return lambda run: run.iteration < iteration


def test_a_run_is_resumed_exactly_loaded_and_evaluated(tmp_path: Path) -> None:
    options = PolicyOptions(
        hidden=(8,), normalise_obs=True, encoder=EncoderOptions(embedding=2, critic_only=("inner",))
    )
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    kwargs: Any = {"algorithm": clipper.PPO(horizon=16, epochs=1), "policy": options, "total_steps": 300, "num_envs": 2}
    ours = clipper.train(Locks, run_dir=whole, **kwargs)
    clipper.train(Locks, run_dir=cut, callback=stop_after(5), **kwargs)
    again = clipper.train(Locks, resume=cut)
    assert again.exact
    assert ours.iteration == again.iteration > 5
    tensors, theirs = ours.state_dict()[0], again.state_dict()[0]
    assert tensors.keys() == theirs.keys()
    assert all(torch.equal(x, theirs[name]) for name, x in tensors.items())
    loaded = clipper.load(cut)
    obs = Locks.observation_space.sample()
    assert loaded.predict(obs) == ours.policy.predict(obs)
    assert len(evaluate_policy(loaded, Locks, episodes=3).returns) == 3
    assert clipper.evaluate(cut, Locks, episodes=2).mean == clipper.evaluate(whole, Locks, episodes=2).mean


def test_predict_takes_one_or_a_batch_and_names_what_is_wrong() -> None:
    env = Serial([Locks] * 5)
    policy = made(env.single_observation_space)
    obs, _ = env.reset(seed=0)
    actions = policy.predict(obs)
    assert actions.shape == (5,)
    for i in range(5):
        one = each(lambda x, i=i: x[i], obs)
        assert policy.predict(one) == policy.predict(one | {"more": "is ignored"}) == actions[i]
    plain = {"switch": 3, "inner": ([0.5, 1], {"bits": [0, 1, 1], "kinds": (1, 2)})}
    assert policy.predict(plain) in (0, 1)
    for wrong, why in (
        (without_switch(obs), r"no part \['switch'\]"),
        (obs | {"switch": obs["switch"][:2]}, r"a batch of \(2,\).*\(5,\)|a batch of \(5,\).*\(2,\)"),
        (np.zeros(3), "no part"),
        (obs | {"inner": (np.zeros((5, 7)), obs["inner"][1])}, r"\['inner'\]\[0\] of shape \(5, 7\).*\(2,\)"),
    ):
        with pytest.raises(ValueError, match=why):
            policy.predict(wrong)


def test_trees_are_trained_by_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_ENGINE")
    short: Any = {"algorithm": clipper.PPO(horizon=8, epochs=1), "policy": SMALL, "total_steps": 16, "num_envs": 2}
    assert clipper.train(Locks, engine="cpu", **short).engine.name == "cpu"


def same_actions(key: str | None, encoder: EncoderOptions) -> list[Any]:
    env = Serial([lambda: Masked(key)] * 3)
    policy = made(env.single_observation_space, PolicyOptions(hidden=(8,), encoder=encoder), Discrete(4))
    state = VectorRollouts(env, 1, mask_key=encoder.mask_key)
    steps, _ = state.collect(policy, horizon=25)
    assert state.mask_source is not None
    return [steps.action, steps.reward, steps.action_mask, steps.obs["seen"]]


def test_a_mask_in_the_observation_is_a_mask_in_the_info() -> None:
    expected = same_actions(None, EncoderOptions())
    for key in ("action_mask", "legal moves"):
        assert_equal_trees(same_actions(key, EncoderOptions(mask_key=key)), expected)
    policy = made(Masked().observation_space, actions=Discrete(4))
    for legal in range(4):
        mask = (np.arange(4) == legal).astype(np.int8)
        assert policy.predict({"seen": 0, "action_mask": mask}) == legal
        assert policy.predict({"seen": np.zeros(2, int), "action_mask": np.stack([mask, mask])}).tolist() == [legal] * 2


def test_a_mask_s_key_may_be_an_observation_like_any_other_or_wrong() -> None:
    env = Serial([Masked] * 2)
    policy = made(env.single_observation_space, PolicyOptions(encoder=EncoderOptions(mask_key="")), Discrete(4))
    assert policy.encoder.features == 8
    assert VectorRollouts(env, 0, mask_key="").mask_source is None
    with pytest.raises(EnvironmentContractError, match=r"environment 0 .*shape \(\), not \(4,\)"):
        VectorRollouts(env, 0, mask_key="seen")


@pytest.mark.parametrize("critic", [clipper.critics.PopArt(), clipper.critics.TwoHot()])
def test_memory_parts_of_the_critic_s_own_and_its_kind_go_together(critic: Any) -> None:
    loss = (
        clipper.value_losses.CrossEntropy()
        if isinstance(critic, clipper.critics.TwoHot)
        else clipper.value_losses.MSE()
    )
    options = EncoderOptions(critic_only=("inner",), embedding=2)
    policy = PolicyOptions(hidden=(8,), memory="lstm", critic=critic, normalise_obs=True, encoder=options)
    env = SyncVectorEnv([Locks] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    algorithm = clipper.PPO(horizon=16, epochs=2, minibatches=1, learning_rate=0.0, value_loss=loss)
    run = clipper.train(env, algorithm, policy=policy, total_steps=90)
    assert all(row["policy/ratio_max"] == pytest.approx(1, abs=1e-5) for row in run.history)
    action, memory = run.policy.predict({"switch": 3}, memory=())
    assert action in (0, 1)
    assert len(memory)


def solved(env: Any, policy: PolicyOptions, steps: int, **fields: Any) -> float:
    defaults: dict[str, Any] = {"horizon": 32, "epochs": 4, "minibatches": 4, "learning_rate": 3e-3, "gamma": 0.0}
    run = clipper.train(env, clipper.PPO(**(defaults | fields)), policy=policy, total_steps=steps, num_envs=8, seed=0)
    return run.evaluate(25).mean


def test_two_leaves_together_are_understood() -> None:
    assert solved(Locks, PolicyOptions(hidden=(32,)), 8_000, horizon=64, epochs=8, learning_rate=1e-2) > 7.5


LONG = ({"cnn": "impala"}, {"cnn": "nature", "bfloat16": True})


@pytest.mark.parametrize("more", [{"cnn": "nature"}, *(pytest.param(x, marks=pytest.mark.long) for x in LONG)])
def test_a_small_image_is_understood(more: Any) -> None:
    options = PolicyOptions(hidden=(), shared=True, encoder=EncoderOptions(cnn_features=32, **more))
    assert solved(Side, options, 4_096, learning_rate=1e-3) > 7.5


def test_a_critic_that_sees_more_knows_more() -> None:
    def explained(env: Any, options: EncoderOptions) -> float:
        algorithm = clipper.PPO(horizon=64, gamma=0.0, learning_rate=1e-2, epochs=5)
        policy = PolicyOptions(hidden=(16,), encoder=options)
        run = clipper.train(env, algorithm, policy=policy, total_steps=2_500, num_envs=8, seed=0)
        return float(run.history[-1]["value/explained_variance"] or 0)

    assert explained(Secret, EncoderOptions(critic_only=("state",))) > 0.9
    assert explained(lambda: FilterObservation(Secret(), ["noise"]), EncoderOptions()) < 0.2
