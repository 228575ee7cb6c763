"""A trained policy as an archive that Stable-Baselines3 loads, and the program that does.

The archive holds weights as ``torch.save`` writes them, and settings as plain JSON. Of what Stable-Baselines3 keeps as
pickles, its spaces and the policy's class, only the names are there: the program gives them as ``custom_objects``.
Statistics of observations lie beside it as JSON, for a ``VecNormalize``.
"""

import copy
import io
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor, nn

from clipper.data.tree_type import Tree
from clipper.errors import ConfigError
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.encoders import BoxEncoder, ChoiceEncoder
from clipper.networks.heads import CategoricalHead, GaussianHead
from clipper.networks.normalise import ObservationNormaliser, ReturnNormaliser
from clipper.storage import files

VERSION = "2.9.2"
ONNX = "clipper export without --sb3 writes an ONNX file of it"
ADAM_EPS = {"DQN": 1e-8}  # else 1e-5
ROWS = 64  # of the comparison with predict
WRITTEN = (1980, 1, 1, 0, 0, 0)  # the same bytes whenever it is written

BEGIN = """\
import gymnasium as gym
{imports}from {package} import {model}
from {package}.{module} import MlpPolicy

env = gym.make({env})
given = {{
    "policy_class": MlpPolicy, "observation_space": env.observation_space, "action_space": env.action_space,
{more}}}
model = {model}.load({file}, custom_objects=given)
"""
PLAIN = """\
obs, _ = env.reset()
print(model.predict(obs, deterministic=True))
"""
NORMALISED = """\
statistics = json.load(open({statistics}))
venv = VecNormalize(DummyVecEnv([lambda: env]), training=False, norm_reward=False, clip_obs=statistics["clip_obs"])
for name in ("mean", "var", "count"):
    setattr(venv.obs_rms, name, np.array(statistics[name]))
print(model.predict(venv.reset(), deterministic=True))
"""
VECTOR = "from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize\n"
PACKAGES = {
    "PPO": ("stable_baselines3", "ppo"), "DQN": ("stable_baselines3", "dqn"),
    "MaskablePPO": ("sb3_contrib", "ppo_mask"),
}  # fmt: skip


class Network(NamedTuple):
    """A policy as one of Stable-Baselines3's."""

    model: str
    """Whose policy it is."""
    weights: dict[str, Tensor]
    """By their names there, without a target's."""
    kwargs: dict[str, object]
    """``net_arch``, and ``activation_fn`` where that is not the usual one, as text."""
    normaliser: ObservationNormaliser | None


def network_of(policy: ActorCritic, q_network: bool = False) -> Network:
    """The same network under Stable-Baselines3's names; ``q_network``: the logits are Q, as DQN's are.

    Raises ``ConfigError`` for what its MlpPolicy cannot be.
    """
    check(policy, q_network)
    layers, normaliser = linear_layers(policy.actor), None
    if isinstance(policy.encoder, BoxEncoder):
        normaliser = policy.encoder.normaliser
    trunks = [*policy.actor.children(), *policy.critic.children()]
    activation = next((type(x) for x in trunks if not isinstance(x, nn.Linear)), None)
    if q_network:
        assert isinstance(policy.head, CategoricalHead)
        named, widths = sequence("q_net.q_net", [*layers, policy.head.logits]), [x.out_features for x in layers]
        return Network("DQN", named, kwargs_of(widths, activation, nn.ReLU), normaliser)
    critic = linear_layers(policy.critic)
    named = sequence("mlp_extractor.policy_net", layers) | sequence("mlp_extractor.value_net", critic)
    named |= pair("action_net", *action_layer(policy)) | pair("value_net", *value_layer(policy))
    if isinstance(policy.head, GaussianHead):
        scale = torch.as_tensor(np.broadcast_to(policy.head.box.half_width, policy.head.box.shape).flatten().copy())
        own = policy.head.log_std(policy.head.mean.weight.new_zeros(1, policy.head.mean.in_features))
        named = {"log_std": own.reshape(-1).expand(len(scale)) + scale.to(own.dtype).log()} | named
    widths = {"pi": [x.out_features for x in layers], "vf": [x.out_features for x in critic]}
    model = "MaskablePPO" if policy.masked else "PPO"
    return Network(model, named, kwargs_of(widths, activation, nn.Tanh), normaliser)


def check(policy: ActorCritic, q_network: bool) -> None:
    """Raise ``ConfigError`` unless the policy has such a network."""
    options, head, obs, space = policy.options, policy.head, policy.encoder.space, policy.action_space
    problems = {
        "a network of your own": options is None,
        "a memory, which RecurrentPPO has before its hidden layers": policy.memory is not None,
        "layer_norm, which MlpPolicy has not": options is not None and options.layer_norm,
        f"observations of {obs}: MlpPolicy reads a Box of numbers or a Discrete": not readable(policy),
        f"the head {type(head).__name__}: a Box by gaussian, or a Discrete": not acts(policy),
        f"the action space {space}, whose bounds Stable-Baselines3 wants finite": unbounded(space),
        f"{space}, which does not begin at 0": isinstance(space, Discrete) and int(space.start) != 0,
        "no critic, and no Q of actions": options is not None and options.critic is None and not q_network,
        "a critic that sees more than the actor": policy.critic_encoder is not None,
        "a critic whose answer is no plain number": not isinstance(policy.returns, ReturnNormaliser | None),
    }
    for problem, there in problems.items():
        if there:
            raise ConfigError(f"Stable-Baselines3 has no such policy: this one has {problem}. {ONNX}")


def readable(policy: ActorCritic) -> bool:
    """Does ``MlpPolicy`` read these observations as the policy does?"""
    encoder, space = policy.encoder, policy.encoder.space
    if isinstance(encoder, ChoiceEncoder):
        return isinstance(space, Discrete) and int(space.start) == 0 and encoder.table is None
    image = isinstance(space, Box) and space.dtype == np.uint8 and len(space.shape) == 3
    return isinstance(encoder, BoxEncoder) and isinstance(space, Box) and not image


def acts(policy: ActorCritic) -> bool:
    """Is its distribution one of ``MlpPolicy``'s?"""
    head = policy.head
    if isinstance(head, GaussianHead):
        return not any(isinstance(x, nn.Linear) for x in head.log_std.modules())
    return isinstance(head, CategoricalHead)


def unbounded(space: object) -> bool:
    """Is it a Box with an infinite bound?"""
    return isinstance(space, Box) and not np.isfinite([space.low, space.high]).all()


def linear_layers(trunk: nn.Module) -> list[nn.Linear]:
    """Of hidden layers."""
    return [x for x in trunk.modules() if isinstance(x, nn.Linear)]


def sequence(name: str, layers: list[nn.Linear]) -> dict[str, Tensor]:
    """Weights of layers, between which there are activations."""
    found = [pair(f"{name}.{2 * i}", layer.weight, layer.bias) for i, layer in enumerate(layers)]
    return {key: x for own in found for key, x in own.items()}


def pair(name: str, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """A layer's two."""
    return {f"{name}.weight": weight, f"{name}.bias": bias}


def action_layer(policy: ActorCritic) -> tuple[Tensor, Tensor]:
    """The last layer; of a Box in the environment's units, of which Stable-Baselines3 cuts off what lies outside."""
    head = policy.head
    if isinstance(head, CategoricalHead):
        return head.logits.weight, head.logits.bias
    assert isinstance(head, GaussianHead)
    weight, box = head.mean.weight, head.box
    centre, scale = (
        torch.as_tensor(np.broadcast_to(x, box.shape).flatten().copy()).to(weight) for x in (box.centre, box.half_width)
    )
    return weight * scale[:, None], head.mean.bias * scale + centre


def value_layer(policy: ActorCritic) -> tuple[Tensor, Tensor]:
    """The value's, in the units of returns."""
    layer: nn.Linear = policy.value_layer  # pyright: ignore[reportAssignmentType] (check has looked)
    returns = policy.returns
    if isinstance(returns, ReturnNormaliser):
        return layer.weight * returns.scale, returns(layer.bias)
    return layer.weight, layer.bias


def kwargs_of(widths: object, activation: type[nn.Module] | None, usual: type[nn.Module]) -> dict[str, object]:
    """``policy_kwargs`` as JSON has them."""
    other = {} if activation in (None, usual) else {"activation_fn": str(activation)}
    return {"net_arch": widths, **other}


def export_sb3(
    policy: ActorCritic, output: Path, env: str, *, q_network: bool = False, gamma: float = 0.99
) -> tuple[Path | None, str]:
    """Write the archive; where its statistics lie, if any, and the program that loads it.

    ``env`` is what the program makes the environment of, the arguments of ``gym.make`` as Python writes them.
    Raises ``ConfigError`` where Stable-Baselines3 has no such policy; then nothing is written.
    """
    output, network = files.for_output(output), network_of(policy, q_network)
    network = network._replace(weights={name: x.detach().float().contiguous() for name, x in network.weights.items()})
    compare(policy, network)
    lagging = {f"q_net_target{name.removeprefix('q_net')}": x for name, x in network.weights.items() if q_network}
    data = {
        "policy_class": "MlpPolicy", "observation_space": str(policy.encoder.space),
        "action_space": str(policy.action_space), "policy_kwargs": network.kwargs, "verbose": 0, "n_envs": 1,
        "gamma": gamma,
    }  # fmt: skip
    parameters = [nn.Parameter(x.clone()) for x in network.weights.values()]
    adam = torch.optim.Adam(parameters, eps=ADAM_EPS.get(network.model, 1e-5))
    entries = {
        "data": json.dumps(data, indent=1).encode(), "policy.pth": saved(network.weights | lagging),
        "policy.optimizer.pth": saved(adam.state_dict()), "_stable_baselines3_version": VERSION.encode(),
        "system_info.txt": b"written by Clipper\n",
    }  # fmt: skip
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, WRITTEN), content)
    beside = None
    if network.normaliser is not None:
        beside = output.with_suffix(".json")
        files.replace(beside, statistics_of(policy, network.normaliser))
    files.replace(output, buffer.getvalue())
    return beside, program(network, output, beside, env)


def saved(value: object) -> bytes:
    """As ``torch.load`` reads it with ``weights_only``."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def statistics_of(policy: ActorCritic, normaliser: ObservationNormaliser) -> bytes:
    """Mean, variance and count as a ``VecNormalize`` has them."""
    shape, moments = policy.encoder.space.shape or (), normaliser.moments
    found = {"mean": moments.mean.reshape(shape).tolist(), "var": moments.variance.reshape(shape).tolist()}
    return json.dumps(found | {"count": float(moments.count), "clip_obs": normaliser.bound}).encode()


def compare(policy: ActorCritic, network: Network) -> None:
    """Raise ``ConfigError`` where the archive's weights would not act as the policy does."""
    space, head = copy.deepcopy(policy.encoder.space), policy.head
    space.seed(0)
    drawn = np.stack([np.asarray(space.sample()) for _ in range(ROWS)])
    x = policy.encoder(torch.from_numpy(drawn)).detach().float()
    names = [name.removesuffix(".weight") for name in network.weights if name.endswith(".weight")]
    own = [name for name in names if name.startswith(("mlp_extractor.policy_net", "q_net"))]
    last = [] if network.model == "DQN" else ["action_net"]
    activations = [layer for layer in policy.actor.children() if not isinstance(layer, nn.Linear)]
    for i, name in enumerate([*own, *last]):
        x = nn.functional.linear(x, network.weights[f"{name}.weight"], network.weights[f"{name}.bias"])
        x = activations[i](x) if i < len(activations) else x
    wanted: Tree = policy.act(torch.from_numpy(drawn))[0]
    if isinstance(head, GaussianHead):
        found = np.clip(x.detach().numpy().reshape(ROWS, *head.box.shape), head.box.low, head.box.high)
        same = np.allclose(found, head.to_env(wanted.mode.detach()), rtol=1e-4, atol=1e-4)
    else:
        same = torch.allclose(x.log_softmax(-1), wanted.logits.float().log_softmax(-1), rtol=1e-4, atol=1e-4)
    if not same:
        raise ConfigError("the archive would not act as the policy does, so it was not written: please report it")


def program(network: Network, file: Path, statistics: Path | None, env: str) -> str:
    """Python that loads the archive, with Stable-Baselines3 alone."""
    package, module = PACKAGES[network.model]
    imports, more = "", ""
    if statistics is not None:
        imports = "import json\nimport numpy as np\n" + VECTOR
    if "activation_fn" in network.kwargs:
        imports += "import torch.nn\n"
        name = str(network.kwargs["activation_fn"]).rpartition(".")[2].rstrip("'>")
        more = f'    "policy_kwargs": {{"net_arch": {network.kwargs["net_arch"]}, "activation_fn": torch.nn.{name}}},\n'
    begin = BEGIN.format(
        imports=imports, package=package, model=network.model, module=module, env=env, more=more,
        file=quoted(str(file)),
    )  # fmt: skip
    return begin + (PLAIN if statistics is None else NORMALISED.format(statistics=quoted(str(statistics))))


def quoted(text: str) -> str:
    """As Python writes it."""
    return json.dumps(text, ensure_ascii=False)
