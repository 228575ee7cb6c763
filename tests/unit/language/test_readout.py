"""A categorical distribution by chunks against the whole softmax: numbers, gradients, memory."""

import pytest
import torch
from torch import Generator, Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from clipper.distributions import Categorical, Distribution, Readout

D, V = 4, 11


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def numbers_of(dist: Distribution, other: Distribution, action: Tensor) -> list[Tensor]:
    return [dist.log_prob(action), dist.entropy(), dist.kl(other)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("chunk", [1, 2, 5, 1000])
@pytest.mark.parametrize("batch", [(7,), (3, 2), (1,)], ids=str)
def test_chunks_are_the_whole(batch: tuple[int, ...], chunk: int, bias: bool) -> None:
    leaves = [x.requires_grad_() for x in (normal(*batch, D), normal(V, D, seed=1), normal(*batch, D, seed=2))]
    hidden, weight, other = leaves
    b: Tensor | tuple[()] = normal(V, seed=3).requires_grad_() if bias else ()
    leaves += [b] if isinstance(b, Tensor) else []
    action = torch.randint(V, batch, generator=Generator().manual_seed(4))
    plain = [h @ weight.T + (b if isinstance(b, Tensor) else 0) for h in (hidden, other)]
    ours = Readout(hidden, weight, b, chunk * V), Readout(other, weight, b, chunk * V)
    assert isinstance(ours[0], Distribution)
    expected = numbers_of(Categorical(plain[0]), Categorical(plain[1]), action)
    for actual, wanted in zip(numbers_of(*ours, action), expected, strict=True):
        assert actual.shape == batch
        torch.testing.assert_close(actual, wanted, rtol=1e-12, atol=1e-12)
        direction = normal(*batch, seed=5)
        gradients = [
            torch.autograd.grad((x * direction).sum(), leaves, allow_unused=True, retain_graph=True)
            for x in (actual, wanted)
        ]
        for mine, theirs in zip(*gradients, strict=True):
            assert (mine is None) == (theirs is None)
            if mine is not None and theirs is not None:
                torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-12)
    assert torch.equal(ours[0].mode, plain[0].argmax(-1))


def test_it_is_rebuilt_from_its_parameters_and_draws_by_its_generator() -> None:
    dist = Readout(normal(50, D), normal(V, D, seed=1), numbers=3 * V)
    again = type(dist)(*dist.params)
    action = dist.sample(Generator().manual_seed(0))
    assert torch.equal(action, again.sample(Generator().manual_seed(0)))  # whatever the chunks
    assert torch.equal(action, Categorical(dist.hidden @ dist.weight.T).sample(Generator().manual_seed(0)))
    torch.testing.assert_close(again.log_prob(action), dist.log_prob(action), rtol=1e-12, atol=0)


def test_no_tensor_has_all_logits() -> None:
    """The largest tensor that forward and backward make is W's gradient or one chunk."""
    largest = 0

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            for x in out if isinstance(out, tuple | list) else [out]:
                if isinstance(x, Tensor):
                    largest = max(largest, x.untyped_storage().nbytes() // x.element_size())
            return out

    states, vocabulary = 300, 1000
    hidden, weight = normal(states, D).requires_grad_(), normal(vocabulary, D, seed=1).requires_grad_()
    dist = Readout(hidden, weight, numbers=16 * vocabulary)
    with Sizes():
        (dist.log_prob(torch.zeros(states, dtype=torch.long)) + dist.entropy()).sum().backward()
    assert hidden.grad is not None
    assert vocabulary * D <= largest <= 16 * vocabulary < states * vocabulary
