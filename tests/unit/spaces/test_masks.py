"""Legal actions: read from wherever they stand, never left, and no gradient beyond them."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from spaces.matrix import CHOICES, HYBRID, OBSERVATIONS, SPACES, observations, policy_for
from spaces.skills import Orders, Telling
from torch import Generator

from clipper.algorithms import A2C, NPG, PPO, TRPO, VPG, PPOPenalty, PPOSeparate, Reinforce, quota_of
from clipper.data.trees import each, leaves
from clipper.environments import make
from clipper.environments.vector.serial import Serial
from clipper.environments.vector.workers import Workers
from clipper.errors import EnvironmentContractError
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.spaces.action_masks import action_masks
from clipper.spaces.actions import element


def random_mask(space: gymnasium.Space, rng: np.random.Generator):  # noqa: PLR0911
    """A mask as an environment may give it, that allows something."""
    match space:
        case Discrete():
            return some(rng, (int(space.n),))
        case MultiDiscrete():
            return tuple(some(rng, (int(n),)) for n in space.nvec.reshape(-1))
        case MultiBinary():
            return some(rng, (*space.shape, 2))
        case Box():
            whole = space.dtype.kind in "iu"
            a, b = rng.integers(0, 2, (2, *space.shape)) if whole else rng.uniform(-1, 1, (2, *space.shape))
            return np.minimum(a, b), np.maximum(a, b)
        case Dict():
            return {key: random_mask(part, rng) for key, part in space.items()}
        case Tuple():
            return tuple(random_mask(part, rng) for part in space)
        case OneOf():
            return some(rng, (len(space.spaces),)), tuple(random_mask(part, rng) for part in space.spaces)
    raise AssertionError(space)


def some(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    mask = rng.random(shape) < 0.5
    keep = rng.integers(shape[-1], size=shape[:-1])
    np.put_along_axis(mask, keep[..., None], True, -1)
    return mask


def permits(space: gymnasium.Space, mask, action) -> bool:  # noqa: PLR0911
    """Is the action, as the environment takes it, legal? By a plain walk through space, mask and action."""
    match space:
        case Discrete():
            return bool(mask[int(action - space.start)])
        case MultiDiscrete():
            places = (action - space.start).reshape(-1)
            return all(component[place] for component, place in zip(mask, places, strict=True))
        case MultiBinary():
            return all(mask.reshape(-1, 2)[i, bit] for i, bit in enumerate(action.reshape(-1)))
        case Box():
            low, high = (np.clip(x, space.low, space.high) for x in mask)
            return bool((action >= low - 1e-6).all() and (action <= high + 1e-6).all())
        case Dict():
            return all(permits(part, mask[key], action[key]) for key, part in space.items())
        case Tuple():
            return all(permits(*x) for x in zip(space, mask, action, strict=True))
        case OneOf():
            k, argument = action
            return bool(mask[0][k]) and permits(space.spaces[k], mask[1][k], argument)
    raise AssertionError(space)


class Masked(gymnasium.Env):
    """Noise, with a new random mask at every step; what it forbids is refused. Episodes have lengths 1 to 5."""

    observation_space = OBSERVATIONS

    def __init__(self, space: gymnasium.Space = CHOICES["discrete"], where: str = "action_mask", flaw=None) -> None:
        self.action_space, self.where, self.flaw = space, where, flaw
        if where == "method":
            self.action_masks = lambda: self.mask

    def look(self, over: bool = False):
        self.time += 1
        self.mask = random_mask(self.action_space, self.np_random)
        if self.flaw is not None and self.time == 7:
            self.mask = self.flaw(self.mask)
        if over:  # as many environments do at the end of an episode
            self.mask = np.zeros(4, dtype=bool) if isinstance(self.action_space, Discrete) else self.mask
        info = {} if self.where == "method" else {self.where: self.mask}
        return self.np_random.normal(size=3).astype(np.float32), info

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.time = 0
        self.left = int(self.np_random.integers(1, 6))
        return self.look()

    def step(self, action):
        assert self.action_space.contains(action), action
        assert permits(self.action_space, self.mask, action), (self.mask, action)
        self.left -= 1
        over = self.left == 0
        obs, info = self.look(over)
        return obs, float(self.np_random.normal()), over, False, info


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_no_illegal_action_is_sampled_or_preferred(space: gymnasium.Space) -> None:
    rng = np.random.default_rng(0)
    given = [random_mask(space, rng) for _ in range(64)]
    mask = action_masks(space, given, 64, np.ones(64, dtype=bool))
    policy = policy_for(space)
    with torch.no_grad():
        dist, _ = policy.act(observations(64), action_mask=mask)
    for seed in range(8):
        action = policy.to_env(dist.mode if seed == 0 else dist.sample(Generator().manual_seed(seed)), mask)
        for i in range(64):
            assert space.contains(element(space, action, i))
            assert permits(space, given[i], element(space, action, i))


@pytest.mark.parametrize("where", ["action_mask", "legal_action_mask", "method"])
@pytest.mark.parametrize("backend", ["serial", "next_step", "same_step", "disabled"])
@pytest.mark.parametrize("name", ["discrete", "multi-discrete", "one of both"])
def test_every_source_in_every_mode(name: str, backend: str, where: str) -> None:
    """The environment itself refuses what is illegal; the loss then sees the masks that acting saw."""
    space = SPACES[name]
    factories = [lambda: Masked(space, where)] * 3
    env = (
        make(factories[0], 3)
        if backend == "serial"
        else SyncVectorEnv(factories, autoreset_mode=AutoresetMode[backend.upper()])
    )
    env, policy = make(env, 3), policy_for(space)
    state = VectorRollouts(env, 0)
    steps, _ = state.collect(policy, horizon=30)
    dist, _ = policy.act(steps.obs, action_mask=steps.action_mask)
    ratio = (dist.log_prob(steps.action) - steps.log_prob)[steps.mask].exp()
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=1e-5, atol=0)
    metrics = (algorithm := PPO(horizon=30, entropy_coef=0.01)).update(algorithm.init(policy), steps, state.obs)
    assert all(x.isfinite() for x in metrics.values())


ALGORITHMS = [
    A2C(), VPG(horizon=20, value_epochs=2), NPG(horizon=20, value_epochs=2), TRPO(horizon=20, value_epochs=2),
    PPO(horizon=20, epochs=2), PPOSeparate(horizon=20, epochs=2, value_epochs=2), PPOPenalty(horizon=20, epochs=2),
    Reinforce(episodes=8),
]  # fmt: skip


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: type(a).__name__)
def test_every_algorithm_learns_with_masks(algorithm) -> None:
    space = HYBRID["one of trees"]
    env, policy = make(lambda: Masked(space), 4), policy_for(space)
    learner = algorithm.init(policy)
    before, state = learner.parameters.detach().clone(), VectorRollouts(env, 0)
    for _ in range(2):
        steps, _ = state.collect(policy, **quota_of(algorithm))
        assert all(x.isfinite() for x in algorithm.update(learner, steps, state.obs).values())
    assert not torch.equal(before, learner.parameters)


def test_masked_choices_have_no_probability_and_no_gradient() -> None:
    space = Discrete(5)
    policy = policy_for(space).double()
    mask = action_masks(
        space, [np.array([1, 0, 1, 0, 0]), np.array([0, 0, 0, 0, 1])] * 50, 100, np.ones(100, dtype=bool)
    )
    other = action_masks(space, [np.array([1, 1, 0, 0, 1])] * 100, 100, np.ones(100, dtype=bool))
    head = policy.get_submodule("head")
    logits = head.get_submodule("logits")
    seen = []

    def keep(module, inputs, out) -> None:
        out.retain_grad()
        seen.append(out)

    logits.register_forward_hook(keep)
    obs = observations(100).double()
    dist, _ = policy.act(obs, action_mask=mask)
    against, _ = policy.act(obs, action_mask=other)
    sample = dist.sample(Generator().manual_seed(0))
    (dist.log_prob(sample) + dist.entropy() + dist.kl(policy.act(obs + 1, action_mask=mask)[0])).sum().backward()
    assert (seen[0].grad[~mask] == 0).all()
    assert (seen[0].grad[::2][:, [0, 2]] != 0).all()
    p = dist.params[0].softmax(-1)
    assert (p[~mask] == 0).all()
    assert dist.entropy().isfinite().all()
    assert dist.kl(against).isfinite().all()
    kept = torch.distributions.Categorical(logits=seen[0][::2][:, [0, 2]])
    torch.testing.assert_close(dist.entropy()[::2], kept.entropy())
    assert (dist.entropy()[1::2] == 0).all()


@pytest.mark.parametrize("space", [CHOICES["discrete"], HYBRID["one of both"], HYBRID["dict of both"]])
def test_everything_legal_is_as_no_mask(space: gymnasium.Space) -> None:
    policy, obs = policy_for(space), observations(50)
    mask = action_masks(space, None, 50, np.ones(50, dtype=bool))
    free, masked = policy.act(obs)[0], policy.act(obs, action_mask=mask)[0]
    action = free.sample(Generator().manual_seed(0))
    assert torch.equal(free.log_prob(action), masked.log_prob(action))
    assert torch.equal(free.entropy(), masked.entropy())
    mode = each(torch.detach, free.mode)
    taken = zip(leaves(policy.to_env(mode)), leaves(policy.to_env(mode, mask)), strict=True)
    assert all(np.allclose(a, b, atol=1e-6) for a, b in taken)


FLAWS = {
    "all masked": (np.zeros_like, "every choice at action is masked"),
    "shape": (lambda m: np.ones(3, dtype=bool), r"has shape \(3,\), not \(4,\)"),
    "numbers": (lambda m: np.full(4, 0.5), "not booleans"),
    "NaN": (lambda m: np.full(4, np.nan), "not booleans"),
    "words": (lambda m: np.array(["a"] * 4), "not booleans"),
    "none": (lambda m: None, r"no info\['action_mask'\]"),
}


@pytest.mark.parametrize(("flaw", "message"), FLAWS.values(), ids=FLAWS)
def test_a_bad_mask_is_named_with_environment_step_and_node(flaw, message: str) -> None:
    env = make(Masked, 3)
    env.envs[1] = Masked(flaw=flaw)  # pyright: ignore[reportAttributeAccessIssue]
    policy = policy_for(CHOICES["discrete"])
    with pytest.raises(EnvironmentContractError, match=rf"environment 1 of Masked, after \d+ decisions.*{message}"):
        VectorRollouts(env, 0).collect(policy, horizon=100)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ((np.array([True, False, True]), (None, None, (np.ones(4), np.zeros(4)))), "action's branch 2 a lower bound"),
        ((np.array([True, True, True]), (np.zeros(2), None, None)), "every choice at action's branch 0 is masked"),
        (np.array([False, False, False]), "every choice at action's choice is masked"),
        ((np.array([True, True, True]), (None, None)), "not a tuple of 3"),
    ],
)
def test_errors_name_the_node(mask, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        action_masks(HYBRID["one of both"], [mask], 1, np.ones(1, dtype=bool))


def test_an_illegal_branch_needs_no_legal_arguments() -> None:
    mask = (np.array([False, True, False]), (np.zeros(2), None, None))
    choice, arguments = action_masks(HYBRID["one of both"], [mask], 1, np.ones(1, dtype=bool))
    assert choice.tolist() == [[False, True, False]]
    assert arguments[0].all()


def test_masks_that_come_too_late_are_no_surprise_in_silence() -> None:
    class Late(Masked):
        def reset(self, **options):
            obs, _ = super().reset(**options)
            return obs, {}

    env = make(Late, 2)
    with pytest.raises(EnvironmentContractError, match="gave none with its reset"):
        VectorRollouts(env, 0).collect(policy_for(CHOICES["discrete"]), horizon=3)


def test_predict_takes_a_mask() -> None:
    policy, obs = policy_for(CHOICES["discrete from -1"]), observations(1)[0].numpy()
    assert [policy.predict(obs, action_mask=np.eye(3)[k]) for k in range(3)] == [-1, 0, 1]
    assert policy.predict(np.stack([obs] * 3), action_mask=list(np.eye(3))).tolist() == [-1, 0, 1]
    assert policy.predict(obs) in (-1, 0, 1)


@pytest.mark.parametrize("game", [Telling, Orders])
def test_masks_come_from_worker_processes_as_from_this_one(game: type[gymnasium.Env]) -> None:
    """Trees, a method's, and tables; the games refuse what is illegal."""
    workers, collected = Workers([game] * 5, 2), []
    try:
        for env in (Serial([game] * 5), workers):
            policy = policy_for(env.single_action_space, autoregressive=game is Orders)
            state = VectorRollouts(env, 3)
            state.collect(policy, horizon=15)
            collected.append(state.collect(policy, horizon=15)[0])
    finally:
        workers.close()
    assert leaves(collected[0].action_mask)
    assert all(torch.equal(a, b) for a, b in zip(leaves(collected[0]), leaves(collected[1]), strict=True))
