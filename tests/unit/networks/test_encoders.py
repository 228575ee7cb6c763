"""Encoders against Gymnasium's own flattening, numpy, hand-counted layers and finite differences."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, OneOf, Sequence, Text, Tuple
from torch import Generator, nn
from tree_tasks import Locks

import clipper
from clipper.data.trees import each
from clipper.errors import ConfigError, UnsupportedSpaceError
from clipper.networks.encoders import AT_ONCE, channels_first, make_encoder
from clipper.networks.policy_options import EncoderOptions, PolicyOptions
from clipper.spaces.observations import observation_batch

LEAVES = [
    Box(-1, 1, ()), Box(-1, 1, (3,)), Box(-1, 1, (2, 3, 2)), Box(0, 9, (4,), np.int16), Box(0, 255, (5,), np.uint8),
    Discrete(5), Discrete(3, start=-1), MultiDiscrete([2, 5, 3]), MultiDiscrete(np.array([[2, 3], [4, 2]])),
    MultiBinary(4), MultiBinary([2, 3]), MultiDiscrete([3, 2], start=[-1, 7]),
]  # fmt: skip
TREES = [
    *LEAVES,
    Dict({"z": Discrete(3), "a": Box(-1, 1, (2,))}),
    Tuple([Discrete(3, start=2), Box(-1, 1, (2, 2)), MultiBinary(2)]),
    Dict({"b": Tuple([Dict({"c": Discrete(2), "a.b": MultiDiscrete([2, 2])})]), "keys": Box(-1, 1, ())}),
    Locks.observation_space,
]


def made(space: Any, **fields: Any) -> Any:
    own = {k: fields.pop(k) for k in list(fields) if k in EncoderOptions.__dataclass_fields__}
    options = PolicyOptions(encoder=EncoderOptions(**own), **fields)
    return make_encoder(space, options, Generator().manual_seed(0))


def batch(space: Any, size: int) -> Any:
    """``size`` samples, tensors that lead with them."""
    rows = [observation_batch(space, space.sample())[0] for _ in range(size)]
    return each(lambda *x: torch.from_numpy(np.stack(x)), *rows)


@pytest.mark.parametrize("space", TREES, ids=str)
def test_features_are_gymnasium_s_own_flattening(space: Any) -> None:
    space.seed(1)
    encoder = made(space).double()
    samples = [space.sample() for _ in range(6)]
    expected = np.stack([np.asarray(gymnasium.spaces.flatten(space, x)) for x in samples])
    assert encoder.features == expected.shape[1] == gymnasium.spaces.flatdim(space)
    rows = [observation_batch(space, x)[0] for x in samples]
    flat = each(lambda *x: torch.from_numpy(np.stack(x)), *rows)
    np.testing.assert_array_equal(encoder(flat).numpy(), expected.astype(np.float64))
    by_time = each(lambda x: x.reshape(2, 3, *x.shape[1:]), flat)
    np.testing.assert_array_equal(encoder(by_time).flatten(0, 1).numpy(), expected.astype(np.float64))


def test_a_dict_s_features_are_its_parts_side_by_side() -> None:
    space = Dict({"map": Box(0, 255, (9, 9, 3), np.uint8), "kind": Discrete(4), "speed": Box(-1, 1, (2,))})
    whole, obs = made(space, embedding=3, cnn_features=5), batch(space, 4)
    parts = {key: made(part, embedding=3, cnn_features=5) for key, part in space.items()}
    for own, key in zip(whole.parts, whole.keys, strict=True):
        parts[key].load_state_dict(own.state_dict())
    beside = torch.cat([parts[key](obs[key]) for key in space], dim=-1)
    assert whole.features == 5 + 3 + 2
    torch.testing.assert_close(whole(obs), beside, rtol=0, atol=0)


@pytest.mark.parametrize("space", [Text(5), Sequence(Discrete(2)), Graph(Box(0, 1, (1,)), None), OneOf([Discrete(2)])])
def test_others_are_refused_by_name_and_place(space: Any) -> None:
    for tree in (space, Dict({"x": Tuple([space])})):
        with pytest.raises(UnsupportedSpaceError, match=type(space).__name__):
            made(tree)


def test_users_register_their_own() -> None:
    class Angles(Box):
        pass

    class Turned(nn.Module):
        def __init__(self, space: Any) -> None:
            super().__init__()
            self.space, self.features, self.normalises = space, 2 * space.shape[0], False

        def forward(self, obs: torch.Tensor) -> torch.Tensor:
            return torch.cat([obs.cos(), obs.sin()], dim=-1)

        def absorb(self, obs: torch.Tensor) -> None: ...

    make_encoder.register(Angles, lambda space, options, generator: Turned(space))
    kind: Any = Angles
    space = Dict({"angle": kind(-3, 3, (2,)), "kind": Discrete(3)})
    policy = clipper.make_policy(space, Discrete(2), PolicyOptions(), Generator())
    assert policy.encoder.features == 7
    assert policy.predict(space.sample()) in (0, 1)


def test_each_leaf_of_numbers_has_statistics_of_its_own() -> None:
    space = Dict(
        {"x": Box(-9, 9, (3,)), "deep": Tuple([Box(-9, 9, (2, 2)), Discrete(3)]), "map": Box(0, 255, (8, 8), np.uint8)}
    )
    encoder = made(space, normalise_obs=True, clip_obs=1.5, cnn_features=4)
    plain = made(space, cnn_features=4)
    plain.load_state_dict(encoder.state_dict(), strict=False)
    space.seed(3)
    seen = [batch(space, size) for size in (40, 7)]
    for obs in seen:
        encoder.absorb(obs)
    every = each(lambda *x: torch.cat(x), *seen)
    expected = plain(every).detach().numpy().copy()
    columns = slice(0, 4), slice(11, 14)  # deep[0], x: a Dict's keys are sorted
    for column in columns:
        x = expected[:, column].astype(np.float64)
        expected[:, column] = np.clip((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-8), -1.5, 1.5)
    np.testing.assert_allclose(encoder(every).detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "layout", "image"),
    [
        ((84, 84), "auto", (1, 84, 84)),
        ((4, 84, 84), "auto", (4, 84, 84)),
        ((84, 84, 1), "auto", (1, 84, 84)),
        ((210, 160, 3), "auto", (3, 210, 160)),
        ((7, 7, 3), "auto", (3, 7, 7)),
        ((3, 5, 3), "auto", None),
        ((3, 3, 3), "auto", None),
        ((10, 12, 14), "auto", None),
        ((10, 10, 7), "auto", None),
        ((10, 10, 7), "hwc", (7, 10, 10)),
        ((3, 3, 3), "chw", (3, 3, 3)),
        ((4, 64, 48, 3), "auto", (12, 64, 48)),
        ((4, 3, 64, 48), "auto", (12, 64, 48)),
    ],
)
def test_channels_are_found_or_asked_for(shape: Any, layout: str, image: Any) -> None:
    space = Box(0, 255, shape, np.uint8)
    if image is None:
        with pytest.raises(UnsupportedSpaceError, match=r"image_layout"):
            made(space, image_layout=layout)
        assert made(space, image_layout=layout, cnn="none").features == np.prod(shape)
        return
    order, found = channels_first(shape, layout)
    assert found == image
    # By numpy: frames and channels are one axis, in this order, before height and width.
    x = np.arange(np.prod(shape)).reshape(shape)
    assert x.transpose(order).reshape(found).shape == image
    if len(shape) == 4 and shape[-1] == 3:
        np.testing.assert_array_equal(x.transpose(order).reshape(found)[4], x[1, :, :, 1])


@pytest.mark.parametrize("cnn", ["nature", "impala"])
def test_both_layouts_give_the_same_of_pixels_between_0_and_1(cnn: Any) -> None:
    last, first = Box(0, 255, (12, 10, 3), np.uint8), Box(0, 255, (3, 12, 10), np.uint8)
    a, b = made(last, cnn=cnn, cnn_features=6), made(first, cnn=cnn, cnn_features=6)
    obs = batch(last, 5)
    torch.testing.assert_close(a(obs), b(obs.permute(0, 3, 1, 2)), rtol=0, atol=0)
    inside: list[torch.Tensor] = []
    handle = a.net[0].register_forward_pre_hook(lambda module, inputs: inside.append(inputs[0]))
    a(obs)
    handle.remove()
    np.testing.assert_allclose(inside[0].numpy(), obs.numpy().transpose(0, 3, 1, 2) / 255, rtol=1e-6)


def test_the_papers_networks_have_their_numbers_of_weights() -> None:
    space = Box(0, 255, (4, 84, 84), np.uint8)
    count = {cnn: sum(p.numel() for p in made(space, cnn=cnn).parameters()) for cnn in ("nature", "impala")}
    # Nature: 8·8·4·32 + 32, 4·4·32·64 + 64, 3·3·64·64 + 64, 7·7·64·512 + 512.
    assert count["nature"] == 8224 + 32832 + 36928 + 1606144
    widths, channels, impala = (16, 32, 32), 4, 0
    for width in widths:
        impala += 9 * channels * width + width + 4 * (9 * width * width + width)
        channels = width
    assert count["impala"] == impala + 11 * 11 * 32 * 256 + 256


@pytest.mark.parametrize("cnn", ["nature", "impala"])
def test_images_of_every_size_are_read(cnn: Any) -> None:
    for shape in [(1, 1), (2, 3), (3, 40), (5, 5), (7, 7), (35, 35), (36, 36), (37, 90)]:
        space = Box(0, 255, shape, np.uint8)
        encoder = made(space, cnn=cnn, cnn_features=3)
        assert encoder(batch(space, 2)).shape == (2, 3)
        assert encoder(torch.zeros(0, *shape, dtype=torch.uint8)).shape == (0, 3)


def test_kernels_start_orthogonal_and_from_the_generator() -> None:
    before = torch.get_rng_state()
    a, b = (made(Box(0, 255, (40, 40, 3), np.uint8), cnn_features=8) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    for layer in a.net:
        if isinstance(layer, nn.Conv2d):
            rows = layer.weight.detach().double().flatten(1)
            torch.testing.assert_close(rows @ rows.T, 2 * torch.eye(len(rows)).double(), atol=1e-4, rtol=0)
            assert layer.bias is not None
            assert not layer.bias.any()
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_the_plain_start_reaches_convolutions_too() -> None:
    options = PolicyOptions(orthogonal=False, encoder=EncoderOptions(cnn_features=9))
    policy = clipper.make_policy(Box(0, 255, (40, 40), np.uint8), Discrete(2), options, Generator().manual_seed(0))
    conv: Any = policy.encoder.net[0]  # pyright: ignore[reportAttributeAccessIssue]
    bound = 64**-0.5  # 8 × 8 pixels of one channel
    assert 0.95 * bound < conv.weight.abs().max() <= bound
    assert 0 < conv.bias.abs().max() <= bound


def test_gradients_by_finite_differences() -> None:
    space = Dict({"map": Box(0, 255, (6, 5), np.uint8), "kind": MultiDiscrete([3, 2]), "x": Box(-1, 1, (2,))})
    space.seed(0)
    for cnn in ("nature", "impala"):
        encoder = made(space, cnn=cnn, embedding=2, cnn_features=4, normalise_obs=True).double()
        obs, weights = batch(space, 3), torch.randn(3, encoder.features, generator=Generator().manual_seed(1)).double()
        encoder.absorb(obs)
        loss = (encoder(obs) * weights).sum()
        gradients = torch.autograd.grad(loss, list(encoder.parameters()))
        for parameter, gradient in zip(encoder.parameters(), gradients, strict=True):
            direction = torch.randn(parameter.shape, generator=Generator().manual_seed(2)).double()
            values = []
            for step in (1e-7, -1e-7):
                with torch.no_grad():
                    parameter.add_(direction, alpha=step)
                    values.append((encoder(obs) * weights).sum())
                    parameter.sub_(direction, alpha=step)
            slope = (values[0] - values[1]) / 2e-7  # so short that no ReLU turns
            torch.testing.assert_close((gradient * direction).sum(), slope, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cnn", ["nature", "impala"])
def test_bfloat16_rounds_features_and_gradients_and_nothing_more(cnn: Any) -> None:
    space = Box(0, 255, (40, 40, 3), np.uint8)
    space.seed(0)
    exact, coarse = (made(space, cnn=cnn, cnn_features=16, bfloat16=bfloat16) for bfloat16 in (False, True))
    coarse.load_state_dict(exact.state_dict())
    obs = batch(space, 4)
    features, rounded = exact(obs), coarse(obs)
    assert rounded.dtype == torch.float32
    assert not torch.equal(features, rounded)
    assert (features - rounded).detach().norm() < 0.02 * features.detach().norm()  # bfloat16 rounds to 2⁻⁹
    for encoder, y in ((exact, features), (coarse, rounded)):
        y.square().sum().backward()
        assert all(p.dtype == p.grad.dtype == torch.float32 for p in encoder.parameters())
    for p, q in zip(exact.parameters(), coarse.parameters(), strict=True):
        assert (p.grad - q.grad).norm() < 0.15 * p.grad.norm()


@pytest.mark.parametrize("shape", [(3, 16, 20), (16, 20, 3), (4, 16, 20, 3)])
def test_many_images_are_read_in_parts_and_each_as_if_alone(shape: Any) -> None:
    space = Box(0, 255, shape, np.uint8)
    space.seed(0)
    encoder, obs = made(space, cnn_features=8), batch(space, 2 * AT_ONCE + 3)
    with torch.no_grad():
        features = encoder(obs)
    torch.testing.assert_close(features, torch.cat([encoder(x[None]) for x in obs]), atol=1e-5, rtol=1e-5)


def test_the_actor_never_sees_what_is_the_critic_s() -> None:
    space = Dict({"state": Box(-1, 1, (3,)), "seen": Box(-1, 1, (2,)), "action_mask": Box(0, 1, (2,), np.int8)})
    options = PolicyOptions(encoder=EncoderOptions(critic_only=("state",)), normalise_obs=True)
    policy = clipper.make_policy(space, Discrete(2), options, Generator().manual_seed(0))
    assert policy.critic_encoder is not None
    assert (policy.encoder.features, policy.critic_encoder.features) == (2, 5)
    obs = {k: x.float().requires_grad_() for k, x in batch(space, 4).items()}
    dist, value = policy(obs)
    inputs = [obs["state"], obs["seen"], obs["action_mask"]]
    seen = torch.autograd.grad(dist.entropy().sum(), inputs, allow_unused=True)
    judged = torch.autograd.grad(value.mean.sum(), inputs, allow_unused=True)
    assert [x is not None and bool(x.any()) for x in seen] == [False, True, False]
    assert [x is not None and bool(x.any()) for x in judged] == [True, True, False]
    torch.testing.assert_close(policy.value(obs).mean, value.mean)
    torch.testing.assert_close(policy.act(obs)[0].entropy(), dist.entropy())
    actor, critic = set(policy.actor_parameters()), set(policy.critic_parameters())
    assert not actor & critic
    assert actor | critic == set(policy.parameters())
    one = space.sample() | {"action_mask": np.array([1, 1], np.int8)}
    del one["state"]
    assert policy.predict(one) in (0, 1)


def test_encoders_with_weights_are_shared_only_where_trunks_are() -> None:
    space = Box(0, 255, (9, 9, 3), np.uint8)
    apart, together = (
        clipper.make_policy(space, Discrete(2), PolicyOptions(shared=shared), Generator()) for shared in (False, True)
    )
    assert apart.critic_encoder is not None
    assert together.critic_encoder is None
    clipper.TRPO().init(apart)
    with pytest.raises(ConfigError, match="share"):
        clipper.TRPO().init(together)


def test_options_that_cannot_be() -> None:
    space = Dict({"state": Box(-1, 1, (3,)), "seen": Box(-1, 1, (2,))})
    for options, other, why in [
        (EncoderOptions(critic_only=("stat",)), space, "'stat'.*state, seen|'stat'.*seen, state"),
        (EncoderOptions(critic_only=("seen", "state")), space, "none is left"),
        (EncoderOptions(critic_only=("state",)), Box(-1, 1, (2,)), "no keys"),
        (EncoderOptions(mask_key="legal"), space, "'legal'"),
    ]:
        with pytest.raises(ConfigError, match=why):
            clipper.make_policy(other, Discrete(2), PolicyOptions(encoder=options), Generator())
    with pytest.raises(ConfigError, match="shared"):
        PolicyOptions(shared=True, encoder=EncoderOptions(critic_only=("state",)))
    with pytest.raises(ConfigError, match="both"):
        EncoderOptions(critic_only=("action_mask",))
