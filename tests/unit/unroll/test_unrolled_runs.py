"""The unrolled file, run where Clipper cannot be imported, learns what Clipper learns, bit for bit."""

import ast
import dataclasses
import functools
import hashlib
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from clipper.algorithms import (
    A2C,
    DDPG,
    DQN,
    NPG,
    PPO,
    SAC,
    TD3,
    TRPO,
    VPG,
    DiscreteSAC,
    Exploring,
    ImportanceSampling,
    PPOPenalty,
    PPOSeparate,
    Reinforce,
)
from clipper.cli.commands import unroll_defaults
from clipper.data.values import Elsewhere
from clipper.errors import MissingPackageError
from clipper.learning.critic_targets import NStep, Polyak
from clipper.learning.kl import KLStop
from clipper.learning.objectives import TrustRegion
from clipper.learning.rewards import Scaled
from clipper.learning.schedules import Linear
from clipper.learning.value_losses import ClippedMSE, Huber
from clipper.networks.heads import HeadOptions, SoftplusOfState, TanhGaussian
from clipper.networks.memory import LSTM
from clipper.networks.policy_options import EncoderOptions, PolicyOptions
from clipper.runs.train import train
from clipper.settings.config import Config
from clipper.settings.recipes import RECIPES
from clipper.unroll import UnrollError, unroll
from clipper.unroll.text import ENVIRONMENT

SOURCE = Path(__file__).parents[3] / "src" / "clipper"
SMALL = PolicyOptions(hidden=(8,))
CARTPOLE = Config(env="CartPole-v1", policy=SMALL, total_steps=600, num_envs=4, seed=5, engine="torch")
ALGORITHMS = [
    A2C(), NPG(horizon=64), PPO(horizon=64, epochs=2), PPOPenalty(horizon=64), PPOSeparate(horizon=64),
    TRPO(horizon=64), VPG(), ImportanceSampling(episodes=4), Reinforce(episodes=4),
]  # fmt: skip
RUNS = {
    **{type(a).__name__: dataclasses.replace(CARTPOLE, algorithm=a) for a in ALGORITHMS},
    "pendulum": Config(
        env="Pendulum-v1",
        algorithm=PPO(
            horizon=64, epochs=3, rewards=Scaled(), learning_rate=Linear(3e-4, 0.0), clip=(0.2, 0.28),
            stop=KLStop(0.05, "epoch"), value_loss=Huber(delta=2.0), objective=TrustRegion(delta=0.05),
            critic_target=NStep(n=3, lag=Polyak(tau=0.5)), recompute=True,
        ),
        policy=PolicyOptions(hidden=(16,), shared=True, normalise_obs=True, head=HeadOptions(initial_log_std=-0.5)),
        total_steps=600, num_envs=4, seed=7, engine="torch",
    ),
    **{
        kind.__name__: Config(
            env=env, algorithm=kind(batch_size=16, capacity=100, learning_starts=50),
            total_steps=150, num_envs=2, seed=3, engine="torch",
        )
        for env, kinds in (("Pendulum-v1", (SAC, TD3, DDPG)), ("CartPole-v1", (DQN, DiscreteSAC)))
        for kind in kinds
    },
    **{
        f"{name} head": Config(
            env="Pendulum-v1", algorithm=PPO(horizon=32, epochs=1), policy=PolicyOptions(hidden=(8,), head=head),
            total_steps=300, num_envs=4, engine="torch",
        )
        for name, head in (("squashed", HeadOptions(distribution=TanhGaussian())),
                           ("softplus", HeadOptions(std=SoftplusOfState())))
    },
    "memory": dataclasses.replace(
        CARTPOLE, algorithm=PPO(horizon=32, epochs=2), policy=PolicyOptions(hidden=(8,), memory=LSTM(8))
    ),
    "exploring": dataclasses.replace(CARTPOLE, algorithm=Exploring(PPO(horizon=16, epochs=1), prime=64)),
    "taxi": dataclasses.replace(CARTPOLE, env="Taxi-v4", algorithm=PPO(horizon=32, epochs=1)),
    "blackjack": dataclasses.replace(
        CARTPOLE, env="Blackjack-v1", algorithm=PPO(horizon=16, epochs=1), total_steps=64,
        policy=PolicyOptions(hidden=(8,), encoder=EncoderOptions(embedding=2)),
    ),
    "atari": dataclasses.replace(
        RECIPES["breakout"](), env="ALE/Breakout-v5,screen_size=36", total_steps=64, num_envs=2, eval_every=0,
        algorithm=PPO(horizon=16, epochs=1), engine="torch",
        policy=PolicyOptions(hidden=(), shared=True, encoder=EncoderOptions(cnn_features=8)),
    ),
}  # fmt: skip
QUICK = ("PPO", "Reinforce", "pendulum")
LINES = {"PPO": 450, "memory": 600, "cartpole": 450, "platform": 600, "pong": 600}
"""Most code lines that a file may have, its environment's own code not counted; runs and recipes."""


text_of = functools.cache(lambda name: unroll(RUNS[name] if name in RUNS else RECIPES[name]()))


def long_but(names: tuple[str, ...]) -> list[object]:
    return [n if n in names else pytest.param(n, marks=pytest.mark.long) for n in RUNS]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module that is None cannot be imported."""
    threads = torch.get_num_threads()
    for name in ("clipper", "jaxtyping"):
        monkeypatch.setitem(sys.modules, name, None)
    yield
    torch.set_num_threads(threads)


def digest(config: Config) -> str:
    parameters = train(config).learner.parameters.detach().numpy()
    return f"sha256 of the parameters: {hashlib.sha256(parameters.tobytes()).hexdigest()}"


@pytest.mark.parametrize("name", long_but(QUICK))
def test_same_parameters_as_the_library(
    name: str, alone: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    file = tmp_path / "alone.py"
    with pytest.MonkeyPatch.context() as here:
        for module in ("clipper", "jaxtyping"):
            here.delitem(sys.modules, module)
        file.write_text(text_of(name))
        expected = digest(RUNS[name])
        untrained = digest(dataclasses.replace(RUNS[name], total_steps=1, seed=RUNS[name].seed + 1))
    capsys.readouterr()
    runpy.run_path(str(file), run_name="__main__")
    assert capsys.readouterr().out.splitlines()[-1] == expected != untrained


@pytest.mark.long
def test_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "alone.py"
    file.write_text(text_of("PPO"))
    alone = "import runpy, sys; sys.modules.update(clipper=None, jaxtyping=None); "
    alone += "runpy.run_path(sys.argv[1], run_name='__main__')"
    out = subprocess.run([sys.executable, "-I", "-c", alone, str(file)], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    assert out.stdout.splitlines()[-1] == digest(RUNS["PPO"])


def code_lines(text: str) -> int:
    """Without blank lines, comments and docstrings."""
    docs = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)]
    inside = {line for n in docs for line in range(n.lineno, (n.end_lineno or n.lineno) + 1)}
    lines = enumerate(text.splitlines(), start=1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and i not in inside for i, line in lines)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.long) for n in LINES])
def test_is_short_enough_to_be_read(name: str) -> None:
    learning, _, around = text_of(name).partition(ENVIRONMENT)
    assert code_lines(learning) <= LINES[name]
    # Nothing else hides there: it all stands in the library's files of environments, and of the spaces that they have.
    files = (path for room in ("environments", "spaces") for path in (SOURCE / room).rglob("*.py"))
    assert defined(around) <= {x for path in files for x in defined(path.read_text())}


def defined(text: str) -> set[str]:
    """Functions and classes of a file."""
    return {n.name for n in ast.parse(text).body if isinstance(n, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("name", long_but(QUICK))
def test_is_written_as_ruff_would(name: str) -> None:
    text = text_of(name)
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--line-length", "120", "--stdin-filename", "alone.py", "-"]
    formatted = subprocess.run([*ruff, "format", *options], input=text, capture_output=True, text=True, check=True)
    assert formatted.stdout == text
    linted = subprocess.run(
        [*ruff, "check", "--select", "F,I,PLW0127", *options], input=text, capture_output=True, text=True, check=False
    )
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("name", long_but(QUICK))
def test_begins_with_main_and_holds_only_what_is_read(name: str) -> None:
    tree = ast.parse(text_of(name))
    definitions = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    assert definitions[0].name == "main"
    names = [n.name for n in definitions if n.name != "_"]
    assert len(names) == len(set(names))
    read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    assert set(names) <= read
    imported = set()
    for node in ast.walk(tree):
        imported |= {a.name.split(".")[0] for a in node.names} if isinstance(node, ast.Import) else set()
        imported |= {str(node.module).split(".")[0]} if isinstance(node, ast.ImportFrom) else set()
    extra = {"ale_py", "numba"}
    assert imported - set(sys.stdlib_module_names) - extra == {"gymnasium", "numpy", "torch"}


@pytest.mark.parametrize(
    ("name", "there", "absent"),
    [
        ("PPO", {"CategoricalHead", "Categorical", "clip", "gae"},
         {"Huber", "dual_clip", "ChoiceEncoder", "Serial", "Reinforce", "World", "Clip", "Adam", "Masks", "summarise"}),
        ("pendulum", {"GaussianHead", "DiagonalGaussian", "huber", "RewardScaler"}, {"CategoricalHead", "Huber"}),
        ("SAC", {"SAC", "Replay", "UniformFirst", "SquashedHead"}, {"averaged", "gae", "CategoricalHead"}),
        ("Reinforce", {"Reinforce", "trajectory_sum", "reward_to_go"}, {"PPO", "gae"}),
    ],
)  # fmt: skip
def test_holds_what_its_settings_need_and_no_more(name: str, there: set[str], absent: set[str]) -> None:
    names = {n.name for n in ast.parse(text_of(name)).body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    assert there <= names
    assert not absent & names


def test_settings_are_written_out() -> None:
    main = text_of("pendulum").partition("def main()")[2].partition("\ndef ")[0].partition("\nclass ")[0]
    for setting in ("horizon=64", "epochs=3", "hidden=(16,)"):
        assert setting in main
    assert "gamma" not in main  # at its default, which the class in the file shows


def test_settings_of_nested_values_are_written_out() -> None:
    text = unroll(dataclasses.replace(CARTPOLE, algorithm=PPO(value_loss=ClippedMSE(bound=0.3))))
    assert "0.3" in text


def test_takes_what_train_takes_and_runs(tmp_path: Path) -> None:
    config, rest = unroll_defaults(["CartPole-v1", "a2c", "--horizon", "7"])
    assert isinstance(config.algorithm, A2C)
    assert rest == ["--horizon", "7"]
    train(dataclasses.replace(CARTPOLE, total_steps=64, algorithm=PPO(horizon=16, epochs=1)), run_dir=tmp_path / "run")
    found, rest = unroll_defaults([str(tmp_path / "run"), "--seed", "1"])
    assert found.algorithm == PPO(horizon=16, epochs=1)
    assert rest == ["--seed", "1"]


def test_code_of_ones_own_that_a_file_only_names_is_refused() -> None:
    algorithm = dataclasses.replace(PPO(), value_loss=Elsewhere("mine:Loss", {}))
    with pytest.raises(UnrollError, match="mine:Loss is code of your own"):
        unroll(dataclasses.replace(CARTPOLE, algorithm=algorithm))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")  # Box2D's, on import
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_unrolls(name: str) -> None:
    try:
        text = unroll(dataclasses.replace(RECIPES[name](), num_envs=2))
    except MissingPackageError as error:
        pytest.skip(str(error))
    compile(text, name, "exec")
