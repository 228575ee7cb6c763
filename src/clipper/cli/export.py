"""``clipper export``: a trained policy in a file that others run."""

from collections.abc import Sequence
from pathlib import Path

from clipper.algorithms import held_by
from clipper.cli.arguments import ALGORITHMS
from clipper.cli.command_options import Export, parse
from clipper.environments.ids import split_id
from clipper.errors import ConfigError
from clipper.networks.actor_critic import ActorCritic
from clipper.runs.terminal import Terminal
from clipper.settings.config import Config


def export_command(args: Sequence[str]) -> int:
    """``clipper export``."""
    from clipper.cli.seeds import single  # noqa: PLC0415
    from clipper.networks.export import export_onnx  # noqa: PLC0415
    from clipper.networks.onnx_program import program  # noqa: PLC0415
    from clipper.runs.load import load_with_config  # noqa: PLC0415

    options = parse(Export, args, "clipper export")
    run = single(options.run, "export")
    policy, config = load_with_config(run, best=options.best)
    if options.sb3:
        if options.onnx is not None or options.masked:
            raise ConfigError("--sb3 writes no ONNX file: leave out --onnx and --masked, or --sb3")
        return export_archive(policy, config, run / "policy_sb3.zip")
    file = options.onnx or run / ("policy_masked.onnx" if options.masked else "policy.onnx")
    inputs, outputs = export_onnx(policy, file, masked=options.masked)
    console = Terminal()
    text = f"{file}: {', '.join(inputs)} → {', '.join(outputs)}; compared with the policy in onnxruntime"
    console.print(text, soft_wrap=True)
    console.print(f"\nThis program runs it, without Clipper:\n\n{program(file)}", soft_wrap=True, end="")
    return 0


def export_archive(policy: ActorCritic, config: Config, file: Path) -> int:
    """``clipper export --sb3``."""
    from clipper.networks.sb3_archive import export_sb3  # noqa: PLC0415

    name, given = split_id(config.env)
    env = ", ".join([repr(name), *(f"{key}={value!r}" for key, value in given.items())])
    own = held_by(config.algorithm)  # whose γ is VecNormalize's
    gamma, q_network = getattr(own, "gamma", 0.99), isinstance(own, ALGORITHMS["dqn"])
    beside, text = export_sb3(policy, file, env, q_network=q_network, gamma=gamma)
    console = Terminal()
    console.print(f"{file}{f', {beside}' if beside else ''}: weights compared with the policy", soft_wrap=True)
    console.print(f"\nThis program loads it, with Stable-Baselines3:\n\n{text}", soft_wrap=True, end="")
    return 0
