"""Action spaces of every kind, and an environment that takes any of them and lets nothing else pass."""

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Tuple

from clipper.networks.actor_critic import ActorCritic
from clipper.networks.heads import HeadOptions
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions

INF = np.inf
CHOICES: dict[str, gymnasium.Space] = {
    "discrete": Discrete(4),
    "discrete of one": Discrete(1),
    "discrete from -1": Discrete(3, start=-1),
    "multi-discrete": MultiDiscrete([3, 2]),
    "multi-discrete of one": MultiDiscrete([2]),
    "multi-discrete 2-d": MultiDiscrete(np.array([[2, 3], [1, 2]])),
    "multi-discrete from elsewhere": MultiDiscrete([2, 3], start=[-1, 5]),
    "multi-discrete int32": MultiDiscrete(np.array([2, 2]), dtype=np.int32),
    "multi-binary": MultiBinary(3),
    "multi-binary 2-d": MultiBinary((2, 2)),
    "tuple": Tuple([Discrete(2), Discrete(3, start=1)]),
    "tuple of one": Tuple([Discrete(2)]),
    "dict": Dict(b=Discrete(2), a=MultiDiscrete([2, 2])),
    "dict with a module's names": Dict(type=Discrete(2), values=Discrete(2), forward=Discrete(2)),
    "one of": OneOf([Discrete(2), Discrete(3, start=-2)]),
    "one of one": OneOf([MultiBinary(2)]),
    "one of one-of": OneOf([Discrete(2), OneOf([Discrete(2), MultiBinary(2)])]),
    "one of tuples": OneOf([Tuple([Discrete(2), Discrete(2)]), Dict(x=Discrete(3))]),
    "dict of tuple of one-of": Dict(skill=Tuple([OneOf([Discrete(2), MultiDiscrete([2, 2])]), Discrete(2)])),
}
BOXES: dict[str, gymnasium.Space] = {
    "box": Box(-1, 1, (2,)),
    "box 0-d": Box(-2.0, 5.0, ()),
    "box 2-d": Box(-1, 3, (2, 2)),
    "box of one": Box(0, 1, (1,)),
    "box float64": Box(-1, 1, (2,), np.float64),
    "box infinite": Box(-INF, INF, (2,)),
    "box of integers": Box(np.array([-1, 0], np.int32), np.array([3, 1], np.int32), dtype=np.int32),
    "box of bytes": Box(0, 255, (1,), np.uint8),
    "box of an integer": Box(-2, 2, (), np.int64),
    "box half-infinite": Box(np.array([0, -INF, -1], np.float32), np.array([INF, 1, 1], np.float32)),
}
HYBRID: dict[str, gymnasium.Space] = {
    "tuple of both": Tuple([Discrete(3), Box(-1, 1, (2,))]),
    "dict of both": Dict(go=Discrete(2, start=5), force=Box(0, 10, ()), jump=MultiBinary(1)),
    "one of boxes": OneOf([Box(-1, 1, (1,)), Box(0, 5, (2,)), Box(-INF, INF, ())]),
    "one of both": OneOf([Discrete(2), Box(-1, 1, (1,)), Box(0, 1, (2, 2))]),
    "one of empty-handed": OneOf([Discrete(1), Box(-1, 1, (2,))]),
    "one of trees": OneOf([Tuple([Discrete(2), Box(-1, 1, ())]), Dict(a=Box(0, 2, (1,)), b=MultiDiscrete([2, 2]))]),
    "one-of in dict in tuple": Tuple([Dict(act=OneOf([Box(-1, 1, (1,)), Discrete(2)])), Box(-1, 1, (1,))]),
    "one-of in one-of": OneOf([OneOf([Box(-1, 1, ()), Discrete(3)]), Box(-2, 2, (1,))]),
}
SPACES = CHOICES | BOXES | HYBRID
OBSERVATIONS = Box(-INF, INF, (3,))


class AnySpace(gymnasium.Env):
    """Noise to look at; actions outside the space are refused."""

    observation_space = OBSERVATIONS

    def __init__(self, space: gymnasium.Space) -> None:
        self.action_space = space
        self.taken: list = []

    def observe(self) -> np.ndarray:
        return self.np_random.normal(size=3).astype(np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observe(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.taken.append(action)
        return self.observe(), float(self.np_random.normal()), bool(self.np_random.random() < 0.1), False, {}


def policy_for(space: gymnasium.Space, seed: int = 0, autoregressive: bool = False) -> ActorCritic:
    """A policy whose first distributions already differ between states."""
    head = HeadOptions(action_gain=1.0, initial_log_std=-0.5, autoregressive=autoregressive)
    options = PolicyOptions(hidden=(6,), head=head)
    return make_policy(OBSERVATIONS, space, options, torch.Generator().manual_seed(seed))


def observations(count: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
