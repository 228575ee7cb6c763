"""The unrolled file, run where neither Clipper nor jaxtyping exists, learns what Clipper learns, bit for bit."""

import ast
import dataclasses
import functools
import hashlib
import subprocess
import sys

import pytest
import torch

from clipper.algorithms import PPO, TRPO, Reinforce
from clipper.errors import MissingPackageError
from clipper.learning.critic_targets import NStep, Polyak
from clipper.learning.kl import KLStop
from clipper.learning.objectives import TrustRegion
from clipper.learning.rewards import Scaled
from clipper.learning.schedules import Linear
from clipper.learning.value_losses import ClippedMSE, Huber
from clipper.networks.heads import HeadOptions
from clipper.networks.memory import LSTM
from clipper.networks.policy_options import EncoderOptions, PolicyOptions
from clipper.runs.train import train
from clipper.settings.config import Config
from clipper.settings.recipes import RECIPES
from clipper.unroll import unroll

SHORT = {
    "cartpole": dataclasses.replace(RECIPES["cartpole"](), total_steps=4096, eval_every=0),
    "pendulum": Config(
        env="Pendulum-v1",
        algorithm=PPO(
            horizon=64, epochs=3, rewards=Scaled(), learning_rate=Linear(3e-4, 0.0), clip=(0.2, 0.28),
            stop=KLStop(0.05, "epoch"), value_loss=Huber(delta=2.0), objective=TrustRegion(delta=0.05),
            critic_target=NStep(n=3, lag=Polyak(tau=0.5)), recompute=True,
        ),
        policy=PolicyOptions(hidden=(16,), shared=True, normalise_obs=True, head=HeadOptions(initial_log_std=-0.5)),
        total_steps=1500, num_envs=4, seed=7,
    ),
    "reinforce": Config(env="CartPole-v1", algorithm=Reinforce(episodes=8), total_steps=1000, num_envs=4, seed=3),
    "memory": Config(
        env="CartPole-v1", algorithm=PPO(horizon=32, epochs=2), policy=PolicyOptions(hidden=(8,), memory=LSTM(8)),
        total_steps=600, num_envs=4, seed=2,
    ),
    "atari": dataclasses.replace(
        RECIPES["breakout"](), env="ALE/Breakout-v5,screen_size=36", total_steps=64, num_envs=2,
        algorithm=PPO(horizon=16, epochs=1),
        policy=PolicyOptions(hidden=(), shared=True, encoder=EncoderOptions(cnn_features=8)),
    ),
    "trpo": Config(env="CartPole-v1", algorithm=TRPO(horizon=64), total_steps=1000, num_envs=4, seed=5),
}  # fmt: skip

# A module that is None in sys.modules cannot be imported; -I keeps the working directory and PYTHONPATH out as well.
ALONE = """
import runpy, sys
sys.modules.update(clipper=None, jaxtyping=None)
runpy.run_path(sys.argv[1], run_name="__main__")
"""


text_of = functools.cache(lambda name: unroll(SHORT[name]))


@pytest.fixture(params=SHORT)
def unrolled(request):
    return request.param, SHORT[request.param], text_of(request.param)


def names_bound(node):
    targets = getattr(node, "targets", [getattr(node, "target", node)])
    return [t.id if isinstance(t, ast.Name) else t.name for t in targets if hasattr(t, "id") or hasattr(t, "name")]


def test_same_parameters_as_the_library(unrolled, tmp_path):
    _, config, text = unrolled
    file = tmp_path / "alone.py"
    file.write_text(text)
    out = subprocess.run([sys.executable, "-I", "-c", ALONE, str(file)], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    run = train(config)
    digest = hashlib.sha256(run.learner.parameters.detach().numpy().tobytes()).hexdigest()
    assert out.stdout.splitlines()[-1] == f"sha256 of the parameters: {digest}"
    # The checksum tells learning from no learning.
    trpo = isinstance(config.algorithm, TRPO)
    rates = {"value_learning_rate": 0.0, "delta": 1e-12} if trpo else {"learning_rate": 0.0}
    still = dataclasses.replace(config.algorithm, **rates)
    untrained = train(dataclasses.replace(config, total_steps=1, algorithm=still))
    assert not torch.equal(untrained.learner.parameters, run.learner.parameters)


def test_observations_that_are_a_tuple_of_choices(tmp_path):
    policy = PolicyOptions(hidden=(8,), encoder=EncoderOptions(embedding=2))
    config = Config(env="Blackjack-v1", algorithm=PPO(horizon=16, epochs=1), policy=policy, total_steps=64, num_envs=2)
    file = tmp_path / "alone.py"
    file.write_text(unroll(config))
    out = subprocess.run([sys.executable, "-I", "-c", ALONE, str(file)], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    digest = hashlib.sha256(train(config).learner.parameters.detach().numpy().tobytes()).hexdigest()
    assert out.stdout.splitlines()[-1] == f"sha256 of the parameters: {digest}"


def test_imports_no_more_than_torch_numpy_and_gymnasium(unrolled):
    _, _, text = unrolled
    imported = set()
    for node in ast.walk(ast.parse(text)):
        imported |= {a.name.split(".")[0] for a in node.names} if isinstance(node, ast.Import) else set()
        imported |= {str(node.module).split(".")[0]} if isinstance(node, ast.ImportFrom) else set()
    assert imported - set(sys.stdlib_module_names) == {"gymnasium", "numpy", "torch"}


def test_every_definition_is_made_once_and_used(unrolled):
    _, _, text = unrolled
    tree = ast.parse(text)
    bound = [n for node in tree.body if not isinstance(node, ast.Expr | ast.If) for n in names_bound(node)]
    bound = [n for n in bound if n != "_"]
    assert len(bound) == len(set(bound))
    read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    assert set(bound) <= read


@pytest.mark.parametrize(
    ("recipe", "there", "absent"),
    [
        (
            "cartpole",
            {"CategoricalHead", "Categorical", "BoxEncoder", "MSE", "Clip", "clip"},
            {
                "Huber",
                "ClippedMSE",
                "DualClip",
                "dual_clip",
                "ChoiceEncoder",
                "PartsEncoder",
                "PopArt",
                "TwoHot",
                "Reinforce",
                "Config",
            },
        ),
        ("pendulum", {"GaussianHead", "DiagonalGaussian", "Huber", "RewardScaler"}, {"CategoricalHead", "Categorical"}),
        ("reinforce", {"Reinforce", "trajectory_sum", "reward_to_go"}, {"PPO", "gae"}),
        ("trpo", {"TRPO", "conjugate_gradient", "gae"}, {"PPO", "NPG", "RMSProp"}),
    ],
)
def test_holds_what_the_recipe_needs_and_no_more(recipe, there, absent):
    tree = ast.parse(text_of(recipe))
    names = {name for node in tree.body for name in names_bound(node)}
    assert there <= names
    assert not absent & names


def test_settings_are_written_out():
    main = text_of("pendulum").partition("def main()")[2]
    for setting in ("horizon=64", "clip=(0.2, 0.28)", "Linear(start=0.0003)", "Huber(delta=2.0)", "hidden=(16,)"):
        assert setting in main
    assert "gamma" not in main  # at its default, which the class in the file shows


def test_a_nested_default_that_was_changed_is_written_out():
    config = dataclasses.replace(SHORT["cartpole"], algorithm=PPO(value_loss=ClippedMSE(bound=0.3)))
    assert "value_loss=ClippedMSE(bound=0.3)" in unroll(config)


@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")  # Box2D's, on import
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.long) if recipe().env.startswith(("clipper/", "ALE/")) else n
        for n, recipe in RECIPES.items()
    ],
)
def test_every_recipe_unrolls(name):
    try:
        text = unroll(RECIPES[name]())
    except MissingPackageError as error:
        pytest.skip(str(error))
    compile(text, name, "exec")


def test_is_formatted_as_ruff_would(unrolled):
    _, _, text = unrolled
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--line-length", "120", "--stdin-filename", "alone.py", "-"]
    formatted = subprocess.run([*ruff, "format", *options], input=text, capture_output=True, text=True, check=True)
    assert formatted.stdout == text
    linted = subprocess.run(
        [*ruff, "check", "--select", "F,I", *options], input=text, capture_output=True, text=True, check=False
    )
    assert linted.returncode == 0, linted.stdout
