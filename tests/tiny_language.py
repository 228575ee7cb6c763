"""A language so small that every response is enumerated: expectations are sums, in float64.

Two prompts; a response is at most ``LIMIT`` tokens out of 0, 1 and the one that ends it. The limit is the language's
own, so a response that reaches it is whole. A state is a prefix, and the policy has a row of logits for each.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from clipper.data.sequences import group_minibatches
from clipper.data.steps import Steps, Targets, Value
from clipper.data.trees import Tree
from clipper.distributions import Categorical

PROMPTS, TOKENS, END, LIMIT = 2, 3, 2, 2


class Response(NamedTuple):
    """Its tokens, and the states in which they were chosen."""

    prompt: int
    tokens: tuple[int, ...]
    states: tuple[int, ...]


def prefixes() -> dict[tuple[int, ...], int]:
    """Prompt and unfinished response → number of the state."""
    ordinary = range(TOKENS - 1)
    found = [(x, *y) for x in range(PROMPTS) for n in range(LIMIT) for y in product(ordinary, repeat=n)]
    return {prefix: i for i, prefix in enumerate(found)}


STATES = prefixes()


def responses(prompt: int) -> list[Response]:
    """All of them."""
    found = []
    for state in (s for s in STATES if s[0] == prompt):
        ends = range(TOKENS) if len(state) == LIMIT else [END]
        for token in ends:
            tokens = (*state[1:], token)
            states = tuple(STATES[prompt, *tokens[:t]] for t in range(len(tokens)))
            found.append(Response(prompt, tokens, states))
    return found


EVERY = [responses(x) for x in range(PROMPTS)]


class Memory(NamedTuple):
    """Which prompt each column answers."""

    group: Tensor
    rows: Tree = ()

    def extended(self, mask: Tensor) -> "Memory":
        return self

    def minibatches(self, targets: Targets, epochs: int, count: int, generator: Generator) -> Iterator[Targets]:
        return group_minibatches(targets, epochs, count, generator)


class Table(nn.Module):
    """A row of logits and a value for each state; observations are the states' numbers."""

    def __init__(self, seed: int, scale: float = 1.0) -> None:
        super().__init__()
        generator = Generator().manual_seed(seed)
        normal = torch.randn(len(STATES), TOKENS + 1, generator=generator, dtype=torch.float64)
        self.logits, self.values = nn.Parameter(scale * normal[:, :-1]), nn.Parameter(normal[:, -1].clone())

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Categorical, Tree]:
        return Categorical(self.logits[obs]), memory

    def value(self, obs: Tree, memory: Tree = ()) -> Value:
        return Value(self.values[obs])

    def forward(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Categorical, Value]:
        return self.act(obs)[0], self.value(obs)

    def to_env(self, action: Tree, action_mask: Tree = ()) -> Tree:
        return action

    def actor_parameters(self) -> list[nn.Parameter]:
        return [self.logits]

    def critic_parameters(self) -> list[nn.Parameter]:
        return [self.values]

    def absorb(self, obs: Tree, returns: Tensor) -> None:
        """A table keeps no statistics."""


def log_prob(policy: Table, response: Response) -> Tensor:
    """log π(y|x), with its graph."""
    return policy.logits.log_softmax(-1)[list(response.states), list(response.tokens)].sum()


def log_probs(policy: Table, prompt: int) -> Tensor:
    """log π(y|x) of all responses to a prompt."""
    return torch.stack([log_prob(policy, y) for y in EVERY[prompt]])


def scores(seed: int) -> list[Tensor]:
    """A random score for every response, by prompt."""
    generator = Generator().manual_seed(100 + seed)
    return [torch.randn(len(ys), generator=generator, dtype=torch.float64) for ys in EVERY]


def objective(policy: Table, score: Sequence[Tensor], beta: float = 0.0, reference: Table | None = None) -> Tensor:
    """E_x [Σ_y π(y|x) (r(x, y) − β log π(y|x)/π_ref(y|x))]."""
    total = torch.zeros((), dtype=torch.float64)
    for x, r in enumerate(score):
        own = log_probs(policy, x)
        gain = r if reference is None else r - beta * (own - log_probs(reference, x).detach())
        total = total + (own.exp() * gain).sum() / PROMPTS
    return total


def optimum(score: Sequence[Tensor], beta: float, reference: Table) -> Table:
    """π* ∝ π_ref exp(r/β), as a table: from the last tokens to the first."""
    best = Table(0)
    with torch.no_grad():
        for x, r in enumerate(score):
            weight = dict(zip((y.tokens for y in EVERY[x]), log_probs(reference, x) + r / beta, strict=True))
            for state in sorted((s for s in STATES if s[0] == x), key=len, reverse=True):
                below = torch.stack([weight[*state[1:], token] for token in range(TOKENS)])
                best.logits[STATES[state]] = below
                weight[state[1:]] = below.logsumexp(0)
    return best


@torch.no_grad()
def recorded(batch: Sequence[tuple[Response, float]], policy: Table, reference: Table | None = None) -> Steps:
    """Responses and their scores side by side, NaN wherever nothing may be read."""
    rows, columns = max(len(y.tokens) for y, _ in batch), len(batch)
    obs, action = torch.zeros(2, rows, columns, dtype=torch.long)
    reward, own, frozen = torch.full((3, rows, columns), torch.nan, dtype=torch.float64)
    mask, done = torch.zeros(2, rows, columns, dtype=torch.bool)
    for n, (y, score) in enumerate(batch):
        length = len(y.tokens)
        obs[:length, n], action[:length, n] = torch.tensor(y.states), torch.tensor(y.tokens)
        reward[:length, n] = torch.tensor([0.0] * (length - 1) + [score], dtype=torch.float64)
        mask[:length, n], done[length - 1, n] = True, True
        own[:length, n] = policy.logits.log_softmax(-1)[list(y.states), list(y.tokens)]
        if reference is not None:
            frozen[:length, n] = reference.logits.log_softmax(-1)[list(y.states), list(y.tokens)]
    memory = Memory(torch.tensor([[y.prompt for y, _ in batch]]))
    return Steps(
        obs, action, own, reward, done.clone(), done, mask, memory, reference=() if reference is None else frozen
    )  # fmt: skip


def cosine(a: Tensor, b: Tensor) -> float:
    return torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()
