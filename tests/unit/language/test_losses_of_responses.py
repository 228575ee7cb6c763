"""Losses of whole responses against the papers' formulas in plain loops, off policy; and what must change nothing."""

import dataclasses
import math
from collections.abc import Callable

import pytest
import tiny_language as tiny
import torch
from tiny_language import EVERY, Response, Table
from torch import Tensor

from clipper import language_presets as presets
from clipper.algorithms import GRPO, PPO, PairwisePPO
from clipper.data.sequences import flat_decisions
from clipper.data.steps import Steps
from clipper.data.trees import each
from clipper.errors import ConfigError
from clipper.learning.advantages import Raw
from clipper.learning.baselines import BatchStandardised, GreedyResponse, GroupMean
from clipper.learning.objectives import Unclipped
from clipper.learning.reductions import SequenceSum
from clipper.learning.reference_kl import InLoss, InReward

OLD, NEW, REFERENCE = Table(0), Table(0), Table(1)
with torch.no_grad():
    NEW.logits.add_(0.3 * Table(5).logits)
BATCH: list[tuple[Response, float]] = [
    (EVERY[x][i], score) for x, i, score in
    [(0, 0, 1.0), (1, 3, -0.5), (0, 4, 0.2), (1, 0, 2.0), (0, 6, -1.0), (1, 5, 0.3), (0, 4, 0.7), (1, 6, 0.3)]
]  # fmt: skip
GREEDY = {0: 0.4, 1: -0.1}


def steps_of(batch: list[tuple[Response, float]] = BATCH) -> Steps:
    steps = tiny.recorded(batch, OLD, REFERENCE)
    greedy = torch.tensor([GREEDY[y.prompt] for y, _ in batch], dtype=torch.float64)
    return steps._replace(greedy=greedy.expand_as(steps.reward))


def loss_of(algorithm: GRPO | PairwisePPO, policy: Table = NEW, steps: Steps | None = None) -> Tensor:
    learner = algorithm.init(policy)
    steps = steps_of() if steps is None else steps
    return algorithm.loss(learner, flat_decisions(algorithm.targets(learner, steps, steps.obs[-1])))[0]


def numbers(policy: Table, y: Response) -> list[float]:
    """log π of each token."""
    return policy.logits.log_softmax(-1)[list(y.states), list(y.tokens)].tolist()


def others(n: int) -> list[int]:
    return [m for m, (y, _) in enumerate(BATCH) if y.prompt == BATCH[n][0].prompt]


def by_loop(
    advantage: Callable[[int, int], float], term: Callable[[float, float, int], float], weight: Callable[[int], float],
    kl: Callable[[float, float], float] = lambda new, frozen: 0.0, whole: bool = False,
) -> float:  # fmt: skip
    """Σ over responses n and tokens t of weight(n) (term(ρ, Â, n) + kl)."""
    total = 0.0
    for n, (y, _) in enumerate(BATCH):
        old, new, frozen = (numbers(policy, y) for policy in (OLD, NEW, REFERENCE))
        for t in range(len(y.tokens)):
            log_ratio = (sum(new) - sum(old)) / len(new) if whole else new[t] - old[t]
            total += weight(n) * (term(math.exp(log_ratio), advantage(n, t), n) + kl(new[t], frozen[t]))
    return total


def clipped(low: float, high: float) -> Callable[[float, float, int], float]:
    return lambda r, a, n: -min(r * a, min(max(r, 1 - low), 1 + high) * a)


def standardised(n: int, t: int) -> float:
    r = torch.tensor([BATCH[m][1] for m in others(n)], dtype=torch.float64)
    return float((BATCH[n][1] - r.mean()) / (r.std() + 1e-4))


def priced(n: int, beta: float) -> float:
    y, score = BATCH[n]
    return score - beta * (sum(numbers(OLD, y)) - sum(numbers(REFERENCE, y)))


def left_out(n: int, t: int) -> float:
    rest = [priced(m, 0.05) for m in others(n) if m != n]
    return priced(n, 0.05) - sum(rest) / len(rest)


def to_go(n: int, t: int) -> float:
    y, score = BATCH[n]
    return score - 0.01 * (sum(numbers(OLD, y)[t:]) - sum(numbers(REFERENCE, y)[t:]))


def in_units_of_the_batch(n: int, t: int) -> float:
    every = torch.tensor([to_go(m, s) for m, (y, _) in enumerate(BATCH) for s in range(len(y.tokens))])
    return (to_go(n, t) - float(every.double().mean())) / (float(every.double().std()) + 1e-8)


def k3(new: float, frozen: float) -> float:
    return math.exp(frozen - new) - (frozen - new) - 1


N, LENGTH = len(BATCH), [len(y.tokens) for y, _ in BATCH]
PARITY = {
    "grpo": (presets.grpo(), lambda: by_loop(
        standardised, clipped(0.2, 0.2), lambda n: 1 / (N * LENGTH[n]), lambda new, frozen: 0.04 * k3(new, frozen))),
    "rloo": (presets.rloo(), lambda: by_loop(left_out, clipped(0.2, 0.2), lambda n: 1 / N)),
    "dr_grpo": (presets.dr_grpo(horizon=9), lambda: by_loop(
        lambda n, t: BATCH[n][1] - sum(BATCH[m][1] for m in others(n)) / len(others(n)), clipped(0.2, 0.2),
        lambda n: 1 / (9 * N))),
    "dapo": (presets.dapo(), lambda: by_loop(standardised, clipped(0.2, 0.28), lambda n: 1 / sum(LENGTH))),
    "gspo": (presets.gspo(clip=(0.1, 0.15)), lambda: by_loop(
        standardised, clipped(0.1, 0.15), lambda n: 1 / (N * LENGTH[n]), whole=True)),
    "cispo": (presets.cispo(), lambda: by_loop(
        standardised, lambda r, a, n: -min(r, 1.2) * a * math.log(r), lambda n: 1 / sum(LENGTH))),
    "reinforce_pp": (presets.reinforce_pp(), lambda: by_loop(
        in_units_of_the_batch, clipped(0.2, 0.2), lambda n: 1 / sum(LENGTH))),
    "remax": (presets.remax(objective=Unclipped()), lambda: by_loop(
        lambda n, t: priced(n, 0.05) - GREEDY[BATCH[n][0].prompt], lambda r, a, n: -r * a, lambda n: 1 / N)),
}  # fmt: skip


@pytest.mark.parametrize("name", PARITY)
def test_presets_are_the_papers_formulas(name: str) -> None:
    algorithm, expected = PARITY[name]
    assert loss_of(algorithm).item() == pytest.approx(expected(), rel=1e-6)


def test_every_preset_is_held_to_its_formula() -> None:
    assert {f.__name__ for f in presets.ALL} - {"reinforce_pp_baseline"} == set(PARITY)
    centred = presets.reinforce_pp_baseline()
    assert centred.baseline == BatchStandardised(centred=True)
    advantage = centred.targets(centred.init(NEW), steps_of(), torch.zeros(1)).advantage
    raw = [
        BATCH[n][1] - sum(BATCH[m][1] for m in others(n)) / len(others(n)) for n in range(N) for _ in range(LENGTH[n])
    ]
    every = torch.tensor(raw, dtype=torch.float64)
    expected = ((every - every.mean()) / (every.std() + 1e-8)).tolist()
    assert advantage.T[steps_of().mask.T].tolist() == pytest.approx(expected, rel=1e-9)


def test_gspo_s_gradient_is_the_sequence_ratio_s() -> None:
    """(1/N) Σᵢ −min(sᵢ Âᵢ, clip(sᵢ) Âᵢ) itself, by autograd through sᵢ."""
    algorithm = presets.gspo(clip=(0.1, 0.15))
    [actual] = torch.autograd.grad(loss_of(algorithm), NEW.logits)
    total = torch.zeros((), dtype=torch.float64)
    for n, (y, _) in enumerate(BATCH):
        s = ((tiny.log_prob(NEW, y) - tiny.log_prob(OLD, y).detach()) / len(y.tokens)).exp()
        a = standardised(n, 0)
        total = total - torch.minimum(s * a, s.clamp(0.9, 1.15) * a) / N
    torch.testing.assert_close(actual, torch.autograd.grad(total, NEW.logits)[0], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("clipping", ["joint", "separate"])
def test_pairs_in_a_loop(clipping: str) -> None:
    """Every pair of a prompt, with the KL of the present policy; sixteen responses have twelve pairs."""
    algorithm = PairwisePPO(beta=0.3, clip=0.2, clipping=clipping, weight_bound=2.0)  # pyright: ignore[reportArgumentType]
    losses = []
    for i in range(N):
        for j in (m for m in others(i) if m > i):
            gap = 0.0
            log_ratio = []
            for n, sign in ((i, 1), (j, -1)):
                y, score = BATCH[n]
                old, new, frozen = (sum(numbers(policy, y)) for policy in (OLD, NEW, REFERENCE))
                gap += sign * (score - 0.3 * (new - frozen))
                log_ratio.append(new - old)
            a, b = log_ratio
            if clipping == "joint":
                w = min(max(math.exp(a + b), 0.5), 2.0)
                losses.append(max(-gap * w * (a - b), -gap * w * min(max(a - b, -0.2), 0.2)) / 2)
            else:
                ws = [min(max(math.exp(x), 0.5), 2.0) for x in (b, a)]
                surrogate = clipped(0.2, 0.2)
                terms = (surrogate(math.exp(a), gap * ws[0], 0), surrogate(math.exp(b), -gap * ws[1], 0))
                losses.append(sum(terms) / 2)
    assert len(losses) == 12
    assert loss_of(algorithm).item() == pytest.approx(sum(losses) / 12, rel=1e-9)


EVERY_ONE: dict[str, GRPO | PairwisePPO] = {f.__name__: f() for f in presets.ALL} | {
    "pairs": PairwisePPO(), "KL of responses": GRPO(reference_kl=InLoss(0.1, "weighted_k3", "response")),
}  # fmt: skip
each_one = pytest.mark.parametrize("algorithm", EVERY_ONE.values(), ids=EVERY_ONE)


def gradient_of(algorithm: GRPO | PairwisePPO, steps: Steps | None = None) -> Tensor:
    return torch.autograd.grad(loss_of(algorithm, steps=steps), NEW.logits)[0]


@each_one
def test_padding_and_the_order_of_responses_change_nothing(algorithm: GRPO | PairwisePPO) -> None:
    """Two rows more, of which nothing is read, and columns in another order; ids of prompts may be any."""
    steps = steps_of()
    order = torch.tensor([3, 0, 7, 1, 2, 6, 4, 5])
    longer = each(lambda x: torch.cat([x, x[:2].clone()]), steps._replace(memory=()))
    longer = longer._replace(mask=torch.cat([steps.mask, torch.zeros(2, N, dtype=torch.bool)]))
    for name in ("reward", "log_prob", "reference"):
        longer = longer._replace(**{name: getattr(longer, name).masked_fill(~longer.mask, torch.nan)})
    moved = each(lambda x: x[:, order], longer._replace(memory=steps.memory))
    moved = moved._replace(memory=moved.memory._replace(group=7 - 40 * moved.memory.group))
    actual, expected = gradient_of(algorithm, moved), gradient_of(algorithm)
    assert expected.abs().max() > 1e-4
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", ["rloo", "grpo", "dr_grpo", "pairs"])
def test_a_shift_of_a_prompt_s_scores_changes_nothing(name: str) -> None:
    algorithm = EVERY_ONE[name]
    shifted = [(y, score + 17.0 * (1 + y.prompt)) for y, score in BATCH]
    torch.testing.assert_close(gradient_of(algorithm, steps_of(shifted)), gradient_of(algorithm), rtol=1e-9, atol=1e-12)


def test_a_shift_of_a_prompt_s_scores_changes_what_ppo_learns() -> None:
    """It has no group to compare with: its critic has to learn the prompts' levels."""
    ppo, gradients = PPO(gamma=1.0, advantages=Raw()), []
    for shift in (0.0, 17.0):
        steps = steps_of([(y, score + shift * (1 + y.prompt)) for y, score in BATCH])
        learner = ppo.init(NEW)
        loss, _ = ppo.loss(learner, flat_decisions(ppo.targets(learner, steps, steps.obs[-1])))
        gradients.append(torch.autograd.grad(loss, NEW.logits)[0])
    assert (gradients[1] - gradients[0]).abs().max() > gradients[0].abs().max()


@each_one
def test_an_update_takes_its_steps_and_says_finite_things(algorithm: GRPO | PairwisePPO) -> None:
    policy = Table(0)
    algorithm = dataclasses.replace(algorithm, epochs=2, minibatches=2, learning_rate=1e-2)
    learner = algorithm.init(policy)
    metrics = algorithm.update(learner, steps_of(), torch.zeros(1))
    [state] = learner.optimizer.state.values()
    assert int(state["step"]) == 4
    assert (policy.logits - OLD.logits).abs().max() > 1e-3
    assert torch.equal(policy.values, OLD.values)  # no critic learns
    assert {"loss/policy", "policy/reference_kl_k1", "policy/reference_kl_k3", "policy/clip_fraction"} <= set(metrics)
    assert all(x.isfinite().all() for x in metrics.values())


def test_reference_kl_is_reported_as_the_mean_over_tokens() -> None:
    algorithm = presets.grpo()
    steps = steps_of()
    learner = algorithm.init(NEW)
    _, metrics = algorithm.loss(learner, flat_decisions(algorithm.targets(learner, steps, steps.obs[-1])))
    pairs = [
        (new, frozen) for y, _ in BATCH for new, frozen in zip(numbers(NEW, y), numbers(REFERENCE, y), strict=True)
    ]
    k1 = sum(new - frozen for new, frozen in pairs) / len(pairs)
    assert metrics["policy/reference_kl_k1"].item() == pytest.approx(k1, rel=1e-9)
    assert metrics["policy/reference_kl_k3"].item() == pytest.approx(sum(k3(*p) for p in pairs) / len(pairs), rel=1e-9)


def test_what_is_missing_is_said() -> None:
    bare = steps_of()._replace(reference=(), greedy=())
    for algorithm in (GRPO(), GRPO(reference_kl=InReward()), PairwisePPO()):
        with pytest.raises(ConfigError, match=r"Steps\.reference is empty"):
            loss_of(algorithm, steps=bare)
    with pytest.raises(ConfigError, match=r"Steps\.greedy is empty"):
        loss_of(GRPO(baseline=GreedyResponse(), reference_kl=None), steps=bare)
    with pytest.raises(ConfigError, match="at least two responses"):
        loss_of(PairwisePPO(), steps=steps_of(BATCH[:3]))
    with pytest.raises(ConfigError, match=r"Steps\.memory\.group"):
        loss_of(GRPO(), steps=bare._replace(memory=()))
    assert loss_of(PairwisePPO(beta=0.0), steps=bare).isfinite()
    assert loss_of(GRPO(baseline=GroupMean(), reduction=SequenceSum(), reference_kl=None), steps=bare).isfinite()
