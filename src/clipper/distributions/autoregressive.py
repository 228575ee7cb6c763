"""Parts drawn one after another, each given those before it: the chain rule with nothing left out."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from clipper.data.tree_type import Key
from clipper.data.trees import Tree, across, each, leaves, tree_node
from clipper.distributions.parts import entropies, joint_entropy, joint_kl, joint_log_prob, kls, log_probs
from clipper.distributions.protocol import Distribution

LARGEST = 64  # what the parts before may be, at most, for an expectation over them to be a sum


@runtime_checkable
class Chain(Protocol):
    """What says how each part depends on those before it; ``clipper.networks.heads`` makes it."""

    @property
    def parts(self) -> Tree:
        """A dict or tuple like the action, of whatever is there."""
        ...

    @property
    def one(self) -> Float[Tensor, "*batch 1"]:
        """Ones, in the dtype of probabilities."""
        ...

    def given(self, key: Key, before: dict[Key, Tree], count: int | None = None) -> Distribution:
        """πᵢ(·|s, a₁ … aᵢ₋₁) of the part ``key``; ``[*batch, count]`` leads ``before`` and it where count is given."""
        ...

    def values(self, key: Key) -> Tensor | None:
        """All that the part may be, ``[K, *event]``; None where that is no short list."""
        ...


class Level(NamedTuple):
    """One part, for each of P beginnings of the action."""

    dist: Distribution
    """πᵢ(·|s, beginning), ``[*batch, P]``."""
    weight: Float[Tensor, "*batch P"]
    """The beginning's probability; of one that was drawn 1, whose derivative is that of its log-probability."""
    before: dict[Key, Tree]
    """The beginnings, by part, ``[*batch, P, *event]``."""


@partial(tree_node, fields=("levels",))
class Autoregressive:
    """π(a|s) = Πᵢ πᵢ(aᵢ|s, a₁ … aᵢ₋₁), log π(a|s) = Σᵢ log πᵢ(aᵢ|s, a₁ … aᵢ₋₁).

    Entropy and KL are those of each part, in expectation over the parts before it: H(π) = Σᵢ E[H(πᵢ|a₁ … aᵢ₋₁)]. The
    expectation is the exact sum where all parts before are Discrete, MultiDiscrete or MultiBinary with at most 64
    combinations. Else it is an unbiased estimate: from one value, drawn in each state, of the parts that are not. That
    draw has noise of its own, the same in each call, and the gradient is the likelihood-ratio estimate.

    ``params`` hold the parts under those beginnings. What is rebuilt from them knows no other: where some were drawn,
    it draws and values no action.
    """

    def __init__(self, levels: Tree = None, chain: Chain | None = None) -> None:
        self.known, self.chain = levels, chain

    def follow(self, choose: Callable[[Distribution, Key], Tree], strict: bool = True) -> Tree:
        """Go along the chain; each part is what ``choose(its distribution, its key)`` says."""
        before: dict[Key, Tree] = {}
        parts = self.known if self.chain is None else self.chain.parts
        for key in keys_of(parts):
            dist = found_in(self.known[key], before, strict) if self.chain is None else self.chain.given(key, before)
            before[key] = choose(dist, key)
        return like(before, parts)

    def sample(self, generator: Generator | None = None) -> Tree:
        return self.follow(lambda part, _: part.sample(generator))

    @property
    def mode(self) -> Tree:
        """The mode of each part given the modes before it, which need not be the likeliest of all actions."""
        return self.follow(lambda part, _: part.mode, strict=False)

    def log_probs(self, action: Tree) -> Tree:
        found: dict[Key, Tree] = {}

        def value(part: Distribution, key: Key) -> Tree:
            found[key] = log_probs(part, action[key])
            return action[key]

        return like(found, self.follow(value))

    @property
    def unfolded(self) -> Tree:
        """A ``Level`` for each part."""
        if self.chain is None:
            return self.known
        keys, weight = keys_of(self.chain.parts), self.chain.one
        generator = Generator(weight.device).manual_seed(0)
        before: dict[Key, Tree] = {}
        found: dict[Key, Level] = {}
        for key in keys:
            found[key] = Level(self.chain.given(key, before, weight.shape[-1]), weight, before)
            if key != keys[-1]:
                weight, before = longer(key, found[key], self.chain.values(key), generator)
        return like(found, self.chain.parts)

    @property
    def levels(self) -> Tree:
        """The same, where the tensors of each distribution lead with ``[*batch, P]`` as well."""
        return across(aligned, self.unfolded)

    def entropies(self) -> Tree:
        return across(lambda level: expected(level, entropies(level.dist)), self.unfolded)

    def kls(self, other: "Autoregressive") -> Tree:
        mine = self.unfolded
        if other.chain is not None:
            against = {
                key: other.chain.given(key, mine[key].before, mine[key].weight.shape[-1]) for key in keys_of(mine)
            }
        else:
            against = {key: other.known[key].dist for key in keys_of(mine)}
            if not same(across(beginnings, mine), across(beginnings, other.known)):
                raise TypeError("KL to an Autoregressive rebuilt from its params, which knows other beginnings")
        return across(lambda level, dist: expected(level, kls(level.dist, dist)), mine, like(against, mine))

    @property
    def params(self) -> tuple[Tree, ...]:
        return (self.levels,)

    log_prob, entropy, kl = joint_log_prob, joint_entropy, joint_kl


def longer(
    key: Key, level: Level, values: Tensor | None, generator: Generator
) -> tuple[Float[Tensor, "*batch P"], dict[Key, Tree]]:
    """The beginnings that one part more makes, and their weights: all of them, or one drawn from each."""
    dist, weight, before = level
    shape = weight.shape
    if values is None or len(values) * shape[-1] > LARGEST:
        with torch.no_grad():
            drawn = dist.sample(generator)
        log_p = dist.log_prob(drawn)
        return weight * (log_p - log_p.detach()).exp(), before | {key: drawn}
    k, last = len(values), len(shape)

    def repeated(x: Tensor) -> Tensor:
        return x.unsqueeze(last).expand(*shape, k, *x.shape[last:])

    each_value = values.expand(*shape, *values.shape)
    p = type(dist)(*each(repeated, aligned(level).dist.params)).log_prob(each_value).exp()
    before = {j: each(lambda x: repeated(x).flatten(last - 1, last), value) for j, value in before.items()}
    return (weight.unsqueeze(-1) * p).flatten(-2), before | {key: each_value.flatten(last - 1, last)}


def found_in(level: Level, before: dict[Key, Tree], strict: bool) -> Distribution:
    """The level's distribution under the beginning ``before``, ``[*batch]``; where ``strict``, it must be known."""
    shape = level.weight.shape
    last = len(shape) - 1
    pairs = zip(leaves(level.before), leaves(before), strict=True)
    same = [(known == x.unsqueeze(last)).reshape(*shape, -1).all(-1) for known, x in pairs]
    match = torch.stack([torch.ones(shape, dtype=torch.bool, device=level.weight.device), *same]).all(0)
    if strict and not match.any(-1).all():
        raise TypeError("an Autoregressive rebuilt from its params does not know this beginning of an action")
    index = match.int().argmax(-1, keepdim=True)

    def there(x: Tensor) -> Tensor:
        wide = index.reshape(*index.shape, *(1,) * (x.ndim - index.ndim))
        return x.take_along_dim(wide.expand(*index.shape, *x.shape[last + 1 :]), last).squeeze(last)

    dist = aligned(level).dist
    return type(dist)(*each(there, dist.params))


def aligned(level: Level) -> Level:
    """The level with its distribution's tensors led by ``[*batch, P]``, where they only broadcast."""
    shape = level.weight.shape
    whole = each(lambda p: p if p.shape[: len(shape)] == shape else p.expand(*shape, *p.shape), level.dist)
    return level._replace(dist=whole)


def expected(level: Level, amount: Tree) -> Tree:
    """Σ over beginnings of weight times amount."""
    return each(lambda x: (level.weight * x).sum(-1), amount)


def beginnings(level: Level) -> Tree:
    """What a level's parts are conditioned on."""
    return level.before


def same(a: Tree, b: Tree) -> bool:
    """Do two trees hold the same numbers?"""
    return all(torch.equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


def keys_of(parts: Tree) -> list[Key]:
    """Names or indices of the parts."""
    return list(parts) if isinstance(parts, dict) else list(range(len(parts)))


def like(found: dict[Key, Tree], parts: Tree) -> Tree:
    """By name as a dict, or in order as a tuple, as ``parts`` are."""
    return found if isinstance(parts, dict) else tuple(found.values())
