"""Modules of Stable-Baselines3's that have no file of their own here, and names that are refused, in words.

``MODULES`` says of each module where its names lie; ``REFUSED`` what to take instead of a name that is not there.
"""

import functools
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from clipper.errors import ConfigError

ROOT = "clipper.compat.sb3"
POLICIES = {
    "MlpPolicy": "common.policies:ActorCriticPolicy",
    "CnnPolicy": "common.policies:ActorCriticCnnPolicy",
    "MultiInputPolicy": "common.policies:MultiInputActorCriticPolicy",
}
MASKABLE = {
    "MlpPolicy": "common.maskable.policies:MaskableActorCriticPolicy",
    "CnnPolicy": "common.maskable.policies:MaskableActorCriticCnnPolicy",
    "MultiInputPolicy": "common.maskable.policies:MaskableMultiInputActorCriticPolicy",
}
RECURRENT = {
    "MlpLstmPolicy": "common.recurrent.policies:RecurrentActorCriticPolicy",
    "CnnLstmPolicy": "common.recurrent.policies:RecurrentActorCriticCnnPolicy",
    "MultiInputLstmPolicy": "common.recurrent.policies:RecurrentMultiInputActorCriticPolicy",
}
MODELS = {
    "PPO": "models:PPO",
    "A2C": "models:A2C",
    "TRPO": "models:TRPO",
    "MaskablePPO": "masked:MaskablePPO",
    "RecurrentPPO": "recurrent:RecurrentPPO",
    "SAC": "off_policy:SAC",
    "TD3": "off_policy:TD3",
    "DDPG": "off_policy:DDPG",
    "DQN": "deep_q:DQN",
}


def three(name: str) -> dict[str, str]:
    """Policies of an off-policy algorithm."""
    return {kind: f"common.{name}_policies:{kind}" for kind in ("MlpPolicy", "CnnPolicy", "MultiInputPolicy")}


def package(name: str, model: str, policies: dict[str, str], more: str = "", *others: str) -> dict[str, dict[str, str]]:
    """The modules of an algorithm's package: itself, the algorithm's, and its policies', where ``others`` lie, too."""
    own, beside = {model: MODELS[model]}, {other: f"common.{more}:{other}" for other in others}
    return {name: own | policies, f"{name}.{name}": own, f"{name}.policies": policies | beside}


MODULES: dict[str, dict[str, str]] = {
    **package("ppo", "PPO", POLICIES),
    **package("a2c", "A2C", POLICIES),
    **package("trpo", "TRPO", POLICIES),
    **package("ppo_mask", "MaskablePPO", MASKABLE),
    **package("ppo_recurrent", "RecurrentPPO", RECURRENT),
    **package("sac", "SAC", three("sac"), "sac_policies", "Actor", "SACPolicy"),
    **package("td3", "TD3", three("td3"), "td3_policies", "Actor", "TD3Policy"),
    **package("ddpg", "DDPG", three("td3")),
    **package("dqn", "DQN", three("dqn"), "dqn_policies", "QNetwork", "DQNPolicy"),
    "common.policies": {"ContinuousCritic": "common.q_policies:ContinuousCritic"},
    "common.wrappers.action_masker": {"ActionMasker": "common.wrappers:ActionMasker"},
}
"""Module → name → module:name, both below this package."""
HER = "hindsight goals are not there: write your own relabelling on ReplayBuffer, or stay with theirs"
OTHER = "none of its algorithms: there are PPO, A2C, TRPO, MaskablePPO, RecurrentPPO, SAC, TD3, DDPG and DQN"
MASKS = "masks lie beside MaskablePPO's rollout_buffer, in its attribute masks"
EVALUATION = "ARS is not there, for which it is: evaluate_policy with SubprocVecEnv evaluates in other processes"
FUNCTIONS = "clipper.functional and clipper.learning have Clipper's own"
TIME = "take gymnasium.wrappers.TimeAwareObservation"
BUFFER = "derive a buffer of your own from RolloutBuffer or ReplayBuffer"
PICKLE = "nothing is pickled or unpickled: model.save, model.load and VecNormalize.save write files without it"
WHOLLY: dict[str, str] = {
    **dict.fromkeys(("her", "her.goal_selection_strategy", "her.her_replay_buffer"), HER),
    **dict.fromkeys(
        (f"{name}{part}" for name in ("ars", "crossq", "qrdqn", "tqc") for part in ("", f".{name}", ".policies")), OTHER
    ),
    "common.maskable.buffers": MASKS,
    "common.save_util": PICKLE,
    "common.vec_env.async_eval": EVALUATION,
    "common.wrappers.time_feature": TIME,
}
"""Modules of which each name is refused that ``MODULES`` does not place, and why."""
MODULES.update({name: {} for name in WHOLLY if name not in MODULES})
REFUSED: dict[str, str] = {
    **dict.fromkeys(("HerReplayBuffer", "GoalSelectionStrategy", "KEY_TO_GOAL_STRATEGY", "HER"), HER),
    **dict.fromkeys(("ARS", "CrossQ", "QRDQN", "TQC"), OTHER),
    **dict.fromkeys(
        ("save_to_pkl", "load_from_pkl", "save_to_zip_file", "load_from_zip_file", "data_to_json", "json_to_data"),
        PICKLE,
    ),
    "open_path": PICKLE,
    "AsyncEval": EVALUATION,
    "BaseBuffer": BUFFER,
    **dict.fromkeys(("quantile_huber_loss", "conjugate_gradient_solver", "flat_grad"), FUNCTIONS),
    **dict.fromkeys(("BatchRenorm", "BatchRenorm1d"), OTHER),
    "TimeFeatureWrapper": TIME,
}
"""Name → what to take instead."""


class Refused(type):
    """A class in the place of a name that is not there: its use is an error that says what to take instead."""

    why: str

    def __call__(cls, *args: object, **kwargs: object) -> object:
        raise ConfigError(f"Clipper has no {cls.__name__}: {cls.why}")


@functools.cache
def refused(name: str, why: str) -> type:
    """The same one each time."""
    return Refused(name, (), {"why": why, "__doc__": f"Not there: {why}."})


def resolve(module: str, name: str) -> object:
    """What a name of a module means; one that is refused says so when it is used."""
    place = MODULES.get(module, {}).get(name)
    if place is not None:
        where, _, own = place.partition(":")
        return getattr(importlib.import_module(f"{ROOT}.{where}"), own)
    if name in REFUSED:
        return refused(name, REFUSED[name])
    if module in WHOLLY and not name.startswith("_"):
        return refused(name, WHOLLY[module])
    raise AttributeError(f"module '{ROOT}.{module}' has no attribute {name!r}")


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes the modules of the table when they are imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = fullname.removeprefix(f"{ROOT}.")
        if name not in MODULES or name == fullname:
            return None
        package = any(other.startswith(f"{name}.") for other in MODULES)
        return importlib.util.spec_from_loader(fullname, self, is_package=package)

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__.removeprefix(f"{ROOT}.")
        module.__doc__ = f"``stable_baselines3.{name}``, of the table in ``{ROOT}.public_names``."
        module.__dict__["__all__"] = list(MODULES[name])
        module.__dict__["__getattr__"] = lambda attribute: resolve(name, attribute)


def install() -> None:
    """Let Python find them."""
    if not any(
        type(finder).__name__ == Finder.__name__ and finder.__class__.__module__ == __name__ for finder in sys.meta_path
    ):
        sys.meta_path.append(Finder())
