"""Names that have moved go on working for those who used them, and say where they are."""

import importlib
import re
import subprocess
import sys
from types import ModuleType

import pytest
from torch import Generator

import clipper
from clipper import former

FRONT = [(module, name) for module, names in former.FRONT.items() for name in names]
PARTS = {"config": "config_for", "data": "Steps", "nets": "make_policy", "optim": "minibatches", "rollout": "start"}


@pytest.mark.parametrize(("module", "name"), FRONT, ids=lambda x: x)
def test_names_that_were_at_the_front_say_where_they_are(module: str, name: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"clipper\.{name} is clipper\.{module}\.{name} now"):
        old = getattr(clipper, name)
    assert old is getattr(getattr(clipper, module), name)


def test_a_module_that_moved_is_the_same_module() -> None:
    """In an interpreter of its own: it is not loaded a second time, and keeps its own name."""
    program = (
        "import importlib, warnings, clipper\n"
        "from clipper import former\n"
        "warnings.simplefilter('always')\n"
        "for old, new in former.MOVED.items():\n"
        "    with warnings.catch_warnings(record=True) as caught:\n"
        "        module = importlib.import_module(f'clipper.{old}')\n"
        "    assert module is importlib.import_module(f'clipper.{new}')\n"
        "    assert module.__name__ == module.__spec__.name == f'clipper.{new}'\n"
        "    assert f'clipper.{old} is clipper.{new} now' in [str(warning.message) for warning in caught], old\n"
        "assert importlib.import_module('clipper.heads.beta') is clipper.networks.heads.beta\n"
        "print('all')"
    )
    assert run(program).stdout == "all\n"


def test_a_warning_names_the_line_that_uses_the_old_name() -> None:
    """Each way to reach an old name has other functions between the two."""
    lines = [
        "clipper.SPO", "clipper.encoders", "clipper.spaces.make_head", "clipper.optim.minibatches",
        "import clipper.schedules", "from clipper.convolutions import *", "from clipper import Linear",
    ]  # fmt: skip
    told = run("\n".join(["import clipper", *lines]), "-W", "always::DeprecationWarning").stderr
    named = {int(number) for number in re.findall(r"<string>:(\d+): DeprecationWarning: clipper\.", told)}
    assert named == set(range(2, 2 + len(lines))), told


def run(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Without shape checking, which puts functions of its own between ours."""
    command = [sys.executable, *options, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


@pytest.mark.parametrize(("old", "name"), PARTS.items(), ids=lambda x: x)
def test_names_of_a_module_that_was_divided_are_found_among_its_parts(old: str, name: str) -> None:
    module = importlib.import_module(f"clipper.{old}")
    with pytest.warns(DeprecationWarning, match=rf"clipper\.{old}\.{name} is clipper\."):
        thing = getattr(module, name)
    assert thing.__name__ == name


def test_a_way_to_register_that_the_guides_named_still_works() -> None:
    with pytest.warns(DeprecationWarning, match="clipper.networks.heads.make_head"):
        assert clipper.spaces.make_head.register is clipper.networks.heads.make_head.make_head.register


def test_what_never_was_is_no_attribute() -> None:
    for module in (clipper, clipper.data, importlib.import_module("clipper.optim")):
        with pytest.raises(AttributeError, match="nowhere"):
            _ = module.nowhere
    with pytest.raises(ImportError):
        importlib.import_module("clipper.nowhere")


def test_the_front_is_short() -> None:
    algorithms = {name for name in clipper.__all__ if getattr(clipper, name) in vars(clipper.algorithms).values()}
    modules = {name for name in clipper.__all__ if isinstance(getattr(clipper, name), ModuleType)}
    assert len(set(clipper.__all__) - algorithms - modules) <= 21


def test_what_became_a_folder_or_a_module_is_still_what_it_was() -> None:
    import clipper.engines.cpu.engine
    from clipper import rollout

    with pytest.warns(DeprecationWarning, match=r"cpu\.CPU is clipper\.engines\.cpu\.engine\.CPU now"):
        assert clipper.engines.cpu.CPU is clipper.engines.cpu.engine.CPU  # pyright: ignore[reportAttributeAccessIssue]
    env = clipper.make_env("CartPole-v1", 2)
    policy = clipper.make_policy(
        env.single_observation_space, env.single_action_space, clipper.PolicyOptions(), Generator()
    )
    for place in (clipper, rollout):
        with pytest.warns(DeprecationWarning, match=r"is clipper\.VectorRollouts now"):
            state = place.start(env, seed=1)  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.warns(DeprecationWarning, match=r"is clipper\.VectorRollouts now"):
            steps, after = place.collect(env, policy, state, horizon=3)  # pyright: ignore[reportAttributeAccessIssue]
        assert after is state
        assert steps.mask.shape == (3, 2)


@pytest.mark.parametrize("place", ["clipper.engines.cpu.kernel_files", "clipper.rollout.edges", "clipper.data.trees"])
def test_a_file_of_a_folder_is_no_former_name(place: str) -> None:
    folder, _, name = place.rpartition(".")
    code = f"from {folder} import {name}; assert {name}.__name__ == '{place}'"
    subprocess.run([sys.executable, "-W", "error::DeprecationWarning", "-c", code], check=True)


def test_what_a_run_had_under_other_names() -> None:
    with clipper.train("CartPole-v1", clipper.PPO(horizon=16), num_envs=2, total_steps=32) as run:
        with pytest.warns(DeprecationWarning, match=r"run\.state is run\.rollouts now"):
            assert run.state is run.rollouts
        with pytest.warns(DeprecationWarning, match=r"run\.env is run\.rollouts\.env now"):
            found = run.env
        assert isinstance(run.rollouts, clipper.VectorRollouts)
        assert found is run.rollouts.env


@pytest.mark.parametrize(
    ("name", "place"), [("PerPart", "action_parts"), ("KLStop", "kl"), ("Scaled", "rewards"), ("GSDE", "heads")]
)
def test_a_name_that_is_in_a_module_at_the_front_is_told_with_it(name: str, place: str) -> None:
    with pytest.raises(AttributeError, match=rf"no attribute '{name}': it is clipper\.{place}\.{name}$"):
        getattr(clipper, name)
    with pytest.raises(AttributeError, match=r"no attribute 'Nowhere'$"):
        clipper.Nowhere  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
