"""RecurrentPPO under sb3-contrib's name: what an update reads is what acting said, row by row."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from compat.sb3_more_programs import Levels
from gymnasium.spaces import Box

from clipper.compat.sb3 import PPO, RecurrentPPO
from clipper.compat.sb3.common.env_util import make_vec_env
from clipper.compat.sb3.common.envs import SimpleMultiObsEnv
from clipper.compat.sb3.common.evaluation import evaluate_policy
from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.data.trees import each
from clipper.errors import ClipperError

ROWS = 20
LSTMS: dict[str, dict[str, Any]] = {
    "two": {}, "layers": {"n_lstm_layers": 2}, "shared": {"shared_lstm": True, "enable_critic_lstm": False},
    "actor's": {"enable_critic_lstm": False}, "apart": {"share_features_extractor": False},
}  # fmt: skip


class Square(gymnasium.Env):
    """Actions are matrices, of float64; episodes end at once."""

    observation_space, action_space = Box(-1, 1, (1,), np.float32), Box(-1, 1, (2, 2), np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        assert action.shape == (2, 2)
        return np.zeros(1, np.float32), 1.0, True, False, {}


def collected(kwargs: dict[str, Any], batch_size: int, env: VecEnv | None = None) -> RecurrentPPO:
    """A model with a full buffer, of episodes of four steps; it has not learned."""
    env = env or make_vec_env(Levels, n_envs=3)
    options = {"lstm_hidden_size": 5, "net_arch": [4]} | kwargs
    policy = "MlpLstmPolicy" if isinstance(env.observation_space, Box) else "MultiInputLstmPolicy"
    model = RecurrentPPO(policy, env, n_steps=ROWS, batch_size=batch_size, n_epochs=2, policy_kwargs=options, seed=0)
    with torch.no_grad():
        for x in model.policy.parameters():
            x.add_(0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)))
    _, callback = model._setup_learn(ROWS * 3)
    callback.on_training_start({}, {})
    assert model.env is not None
    model.collect_rollouts(model.env, callback, model.rollout_buffer, ROWS)
    return model


@pytest.mark.parametrize("batch_size", [7, 16, 60, 1000])
@pytest.mark.parametrize("name", LSTMS)
def test_an_update_reads_what_acting_said(name: str, batch_size: int) -> None:
    model = collected(LSTMS[name], batch_size)
    before = model.targets()
    seen = [int(column.sum()) for column in model.cut_up(before).steps.mask.T]
    assert sum(seen) == 3 * ROWS
    assert all(count == min(batch_size, 3 * ROWS) for count in seen[:-1])
    whole = model.cut_up(before)
    rows = []
    for k in range(whole.steps.mask.shape[1]):
        batch = whole.steps.memory.decisions(each(lambda x, k=k: x[:, k : k + 1], whole))
        dist, value = model.learner.policy(batch.steps.obs, batch.steps.memory)
        assert torch.allclose(value.mean, batch.value, atol=1e-5)
        assert torch.allclose(dist.log_prob(batch.steps.action), batch.steps.log_prob, atol=1e-5)
        rows += zip(batch.value.tolist(), batch.advantage.tolist(), strict=True)
    assert sorted(rows) == sorted(
        zip(before.value.flatten().tolist(), before.advantage.flatten().tolist(), strict=True)
    )


def test_a_gradient_goes_back_to_where_a_sequence_begins_and_no_further() -> None:
    """Against autograd through the policy, stepped by hand over one environment's rows."""
    model = collected({}, 2 * ROWS, make_vec_env(Levels, n_envs=1))
    targets, policy = model.targets(), model.policy
    batch = model.cut_up(targets)
    flat = batch.steps.memory.decisions(batch)
    order = [targets.value.flatten().tolist().index(x) for x in flat.value.tolist()]
    model.learner.policy(flat.steps.obs, flat.steps.memory)[1].mean.square().sum().backward()
    found = [x.grad.clone() for x in policy.lstm_critic.parameters()]
    model.policy.zero_grad()
    buffer: Any = model.rollout_buffer
    state, total = None, torch.zeros(())
    for place, (i, begins) in enumerate(zip(order, flat.steps.memory.begins.tolist(), strict=True)):
        if begins or place == 0:
            keep = 1 - buffer.episode_starts[i, 0]
            state = tuple(torch.tensor(keep * x[i]) for x in (buffer.hidden_states_vf, buffer.cell_states_vf))
        latent, state = policy._process_sequence(targets.steps.obs[i], state, torch.zeros(1), policy.lstm_critic)
        value = policy.value_net(policy.mlp_extractor.forward_critic(latent))
        total = total + value.square().sum()
    total.backward()
    assert all(
        torch.allclose(x, y.grad, rtol=1e-4, atol=1e-5)
        for x, y in zip(found, policy.lstm_critic.parameters(), strict=True)
    )


@pytest.mark.parametrize("options", [{}, {"use_sde": True}, {"target_kl": 1e-9, "clip_range_vf": 0.2}])
def test_it_learns_and_comes_back_bit_for_bit(options: dict[str, Any], tmp_path: Path) -> None:
    source = "Pendulum-v1" if options.get("use_sde") else Levels
    env = make_vec_env(source, n_envs=2)
    kwargs = {"lstm_hidden_size": 6, "net_arch": [4]}
    model = RecurrentPPO(
        "MlpLstmPolicy", env, n_steps=16, batch_size=8, n_epochs=2, seed=1, policy_kwargs=kwargs, **options
    ).learn(64)  # fmt: skip
    model.save(tmp_path / "model")
    again = RecurrentPPO.load(tmp_path / "model", env=env)
    weights = []
    for one in (model, again):
        torch.manual_seed(5)
        env.seed(5)
        one._last_obs, one._last_lstm_states = None, one.empty()
        weights.append(one.learn(32, reset_num_timesteps=False).learner.parameters.clone())
    assert torch.equal(*weights)
    assert model._n_updates == (4 if "target_kl" in options else 6) or "target_kl" in options
    mean, _ = evaluate_policy(again, make_vec_env(source, n_envs=2), n_eval_episodes=2)
    assert np.isfinite(mean)


def test_dicts_are_read_and_a_buffer_gives_all_rows_once() -> None:
    env = make_vec_env(SimpleMultiObsEnv, n_envs=2, env_kwargs={"random_start": False})
    model = collected({}, 8, env)
    buffer: Any = model.rollout_buffer
    values = []
    for data in buffer.get(9):
        count = data.lstm_states.pi[0].shape[1]
        assert data.mask.shape[0] % count == 0
        with torch.no_grad():
            value, log_prob, _ = model.policy.evaluate_actions(
                data.observations, data.actions.long().flatten(), data.lstm_states, data.episode_starts
            )
        real = data.mask > 0
        assert torch.allclose(value.flatten()[real], data.old_values[real], atol=1e-5)
        assert torch.allclose(log_prob[real], data.old_log_prob[real], atol=1e-5)
        values += data.old_values[real].tolist()
    assert sorted(values) == sorted(buffer.values.flatten().tolist())


def test_actions_have_the_shape_of_their_box() -> None:
    model = RecurrentPPO("MlpLstmPolicy", make_vec_env(Square, n_envs=2), n_steps=4, batch_size=4, n_epochs=1)
    model.learn(8)
    assert model.predict(np.zeros((3, 1), np.float32))[0].shape == (3, 2, 2)
    assert all(
        data.actions.dtype == torch.float32
        for data in PPO("MlpPolicy", Square(), n_steps=4).learn(4).rollout_buffer.get()
    )


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"shared_lstm": True}, "enable_critic_lstm=False"),
        (
            {"shared_lstm": True, "enable_critic_lstm": False, "share_features_extractor": False},
            "one vector of features",
        ),
        ({"lstm_kwargs": {"bidirectional": True}}, "bidirectional"),
    ],
)
def test_what_cannot_be_is_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises((ClipperError, AssertionError), match=message):
        RecurrentPPO("MlpLstmPolicy", "CartPole-v1", policy_kwargs=kwargs)
    model = RecurrentPPO("MlpLstmPolicy", "CartPole-v1", policy_kwargs={"lstm_hidden_size": 4})
    _, state = model.predict(np.zeros(4))
    with pytest.raises(ClipperError, match="give back the state"):
        model.predict(np.zeros((3, 4)), state)
