"""A trained policy back from disk."""

from pathlib import Path
from typing import Any

from torch import Generator, Tensor, nn

from clipper import checkpoint
from clipper.config import Config, from_json
from clipper.errors import ConfigError, CorruptCheckpointError
from clipper.nets import make_policy
from clipper.optim import part
from clipper.space_json import space_from_json


def load(path: str | Path, *, best: bool = False, policy: nn.Module | None = None) -> Any:
    """The policy of a run's folder, as last saved or the ``best`` evaluated, or of one ``.safetensors`` file.

    It has ``predict(obs)``. A run that trained a module of your own needs an instance of it as ``policy``, into which
    the weights are loaded. Nothing that the file says is imported or evaluated.
    """
    return load_with_config(path, best=best, policy=policy)[0]


def load_with_config(path: str | Path, *, best: bool = False, policy: nn.Module | None = None) -> tuple[Any, Config]:
    """The policy, and the settings it was trained with."""
    tensors, values = read(Path(path), best)
    try:
        config = from_json(values["config"], Config)
        if policy is None:
            if values["custom_policy"]:
                raise ConfigError("this run trained a policy module of your own: pass an instance of it as policy=")
            spaces = {kind: space_from_json(saved) for kind, saved in values["spaces"].items()}
            policy = make_policy(spaces["observation"], spaces["action"], config.policy, Generator())
        weights = part(tensors, "learner.policy.") or part(tensors, "policy.")
        policy.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise CorruptCheckpointError(f"{path} does not fit its own settings: {error}") from error
    return policy.to("cpu"), config


def read(path: Path, best: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The file that ``load`` means."""
    if not path.is_dir():
        return checkpoint.load(path)
    if best:
        if not (path / "best.safetensors").exists():
            raise ConfigError(f"{path} has no best policy: the run was not evaluated (eval_every)")
        return checkpoint.load(path / "best.safetensors")
    return checkpoint.load_latest(path)
