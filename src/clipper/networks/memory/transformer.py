"""A transformer over the latest steps, with what its layers read kept from segment to segment.

Dai et al. 2019, arXiv:1901.02860, section 3.2 (segment-level recurrence), with a window of fixed length; layers
normalised where they read, so that a step's own features pass unhindered (Parisotto et al. 2020, arXiv:1910.06764,
section 3.1); a learned bias for each distance instead of positions (Raffel et al. 2020, arXiv:1910.10683, section 2.1).
With ``gate_bias`` gates stand in the place of sums (GTrXL: arXiv:1910.06764, section 3.2).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from clipper.data.values import NonNegative, value
from clipper.errors import ConfigError
from clipper.networks.initialisation import OrthogonalLinear
from clipper.networks.memory.memories import Memories, State, check_sizes, pair


@value
class Transformer:
    """Layers of attention over the latest steps of the episode."""

    size: int = 64
    """Numbers per step in each layer."""
    window: int = 32
    """W, steps that one layer sees, the present one included; L layers reach back L (W − 1) steps."""
    heads: int = 4
    """Attention heads, which share ``size``."""
    layers: int = 1
    """L."""
    burn_in: int = 0
    """First rows of a segment that bring an old state up to date instead of being learned from (R2D2); none where the
    state before the segment is empty."""
    gate_bias: NonNegative | None = None
    """b_g of GTrXL's gates: the larger, the nearer they begin to letting a step's features pass (the paper has 2);
    None: h + y, without gates."""

    def __post_init__(self) -> None:
        check_sizes(
            "transformer", size=self.size, window=self.window, heads=self.heads, layers=self.layers,
            burn_in=self.burn_in,
        )  # fmt: skip
        if self.size % self.heads:
            raise ConfigError(f"transformer: {self.heads} heads do not divide a size of {self.size}")

    def memories(self, actor: int, critic: int | None, orthogonal: bool, generator: Generator) -> Memories:
        return pair(lambda inputs: Attentive(self, inputs, generator), actor, critic, self.burn_in)

    def numbers(self, inputs: int) -> int:
        """Weights and state of one environment, about."""
        gates = 0 if self.gate_bias is None else 12 * self.size
        return self.size * (inputs + self.layers * (12 * self.size + gates + self.window))


class Sum(nn.Module):
    """h + y, the residual connection."""

    def forward(self, h: Float[Tensor, "*batch D"], y: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        return h + y


class Gate(nn.Module):
    """(1 − z) h + z ĥ, a gated recurrent unit that reads y = ReLU(what a layer says) into h (arXiv:1910.06764).

    r = σ(W_r y + U_r h), z = σ(W_z y + U_z h − b_g), ĥ = tanh(W_g y + U_g (r h)). The ReLU, since two linear layers
    would follow one another (sections 3.1 and 3.2). ``bias`` is b_g, one for each number, which is learned.
    """

    def __init__(self, size: int, bias: float, generator: Generator) -> None:
        super().__init__()
        self.read = nn.ModuleList(OrthogonalLinear(size, size, 1.0, generator) for _ in range(3))
        self.kept = nn.ModuleList(OrthogonalLinear(size, size, 1.0, generator) for _ in range(3))
        for layer in (*self.read, *self.kept):
            layer.register_parameter("bias", None)  # the paper's W and U are matrices
        self.bias = nn.Parameter(torch.full((size,), bias))

    def forward(self, h: Float[Tensor, "*batch D"], y: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        w_r, w_z, w_g = (layer(y.relu()) for layer in self.read)
        reset = (w_r + self.kept[0](h)).sigmoid()
        update = (w_z + self.kept[1](h) - self.bias).sigmoid()
        return (1 - update) * h + update * (w_g + self.kept[2](reset * h)).tanh()


class Layer(nn.Module):
    """h ← h + attention(LN h), h ← h + MLP(LN h), over what lies at most W − 1 steps back in the same episode.

    With a ``gate_bias`` a ``Gate`` each stands for the sums.
    """

    def __init__(
        self, size: int, window: int, heads: int, generator: Generator, gate_bias: float | None = None
    ) -> None:
        super().__init__()
        self.window, self.heads = window, heads
        self.first, self.second = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query, self.key, self.value, self.out = (OrthogonalLinear(size, size, 1.0, generator) for _ in range(4))
        self.bias = nn.Parameter(torch.zeros(heads, window))
        """Of attention, by distance: the furthest first."""
        self.mlp = nn.Sequential(
            OrthogonalLinear(size, 4 * size, 2**0.5, generator),
            nn.ReLU(),
            OrthogonalLinear(4 * size, size, 1.0, generator),
        )
        self.join, self.join_mlp = (Sum() if gate_bias is None else Gate(size, gate_bias, generator) for _ in range(2))

    def forward(
        self, h: Float[Tensor, "T N D"], cache: Float[Tensor, "C N D"], age: Int[Tensor, "T N"]
    ) -> Float[Tensor, "T N D"]:
        """``age``: how many steps of its episode lie before a row."""
        read = self.first(torch.cat([cache, h]))
        split = (self.heads, h.shape[-1] // self.heads)
        query = self.query(read[self.window - 1 :]).unflatten(-1, split)
        key, value = (f(read).unflatten(-1, split).unfold(0, self.window, 1) for f in (self.key, self.value))
        score = torch.einsum("tnhd,tnhdw->tnhw", query, key) * split[1] ** -0.5 + self.bias
        distance = torch.arange(self.window - 1, -1, -1, device=h.device)
        weight = score.masked_fill((distance > age[..., None])[:, :, None], -torch.inf).softmax(-1)
        h = self.join(h, self.out(torch.einsum("tnhw,tnhdw->tnhd", weight, value).flatten(-2)))
        return self.join_mlp(h, self.mlp(self.second(h)))


class Attentive(nn.Module):
    """The layers. A state is what each has read, ``[N, L, W − 1, D]``, and of how many steps, ``[N]``."""

    def __init__(self, options: Transformer, inputs: int, generator: Generator) -> None:
        super().__init__()
        self.size, self.leaves, self.window = options.size, 2, options.window
        self.enter = OrthogonalLinear(inputs, options.size, 1.0, generator)
        self.layers = nn.ModuleList(
            Layer(options.size, options.window, options.heads, generator, options.gate_bias)
            for _ in range(options.layers)
        )
        self.leave = nn.LayerNorm(options.size)

    def empty(self, n: int) -> State:
        weight = self.enter.weight
        shape = (n, len(self.layers), self.window - 1, self.size)
        return weight.new_zeros(shape), torch.zeros(n, dtype=torch.int64, device=weight.device)

    def step(self, x: Float[Tensor, "N F"], state: State) -> tuple[Float[Tensor, "N size"], State]:
        out, read = self._run(x[None], state, state[1][None])
        cache = torch.cat([state[0], torch.stack(read, 2)[0][:, :, None]], 2)[:, :, 1:]
        return out[0], (cache, (state[1] + 1).clamp(max=self.window - 1))

    def sequence(
        self, x: Float[Tensor, "T N F"], state: State, begins: Bool[Tensor, "T N"]
    ) -> Float[Tensor, "T N size"]:
        row = torch.arange(len(x), device=x.device)[:, None]
        last = row.where(begins, -1).cummax(0).values
        return self._run(x, state, torch.where(last < 0, state[1] + row, row - last))[0]

    def _run(self, x: Float[Tensor, "T N F"], state: State, age: Int[Tensor, "T N"]) -> tuple[Tensor, list[Tensor]]:
        """What comes out, and what each layer has read."""
        h, read = self.enter(x), []
        for layer, kept in zip(self.layers, state[0].permute(1, 2, 0, 3), strict=True):
            read.append(h)
            h = layer(h, kept, age)
        return self.leave(h), read
