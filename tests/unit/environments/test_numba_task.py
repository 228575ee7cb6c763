"""Environments as compiled functions of one copy: held against the same functions called one by one."""

import importlib.util
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, OneOf

import clipper
from clipper.environments.numba_task import NumbaTask
from clipper.errors import ConfigError

RECIPES = Path(clipper.__file__).parents[2] / "docs" / "recipes"
SEE, CHOOSE = Box(-10, 10, (2,), np.float32), Discrete(2)


def loaded(name: str):
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def begin(state, generator):
    state[0], state[1] = generator.random(), 0.0


def step(state, action, generator):
    state[0] += 0.1 * (2 * action - 1) + 0.01 * generator.random()
    state[1] += 1
    return state[0], state[0] > 1.0, state[1] == 7


def observe(state, obs):
    obs[0], obs[1] = state[0], state[1]


def test_all_copies_step_as_one_by_one() -> None:
    """Rewards, ends, observations and resets of five copies, by the functions in plain Python from equal draws."""
    task, n = NumbaTask(SEE, CHOOSE, 2, begin, step, observe), 5
    envs = task.vector(n)
    obs, _ = envs.reset(seed=3)
    generator, states, over = np.random.Generator(np.random.PCG64(3)), np.zeros((n, 2)), np.zeros(n, bool)
    for state in states:
        begin(state, generator)
    actions, ends = np.random.default_rng(1), 0
    for _ in range(40):
        assert np.allclose(obs, states.astype(np.float32))
        action = actions.integers(2, size=n)
        obs, reward, terminated, truncated, _ = envs.step(action)
        for i in np.flatnonzero(~over):
            wanted = step(states[i], action[i], generator)
            assert (reward[i], terminated[i], truncated[i]) == pytest.approx(wanted)
        for i in np.flatnonzero(over):
            states[i] = 0
            begin(states[i], generator)
            assert (reward[i], terminated[i], truncated[i]) == (0, False, False)
        over = terminated | truncated
        ends += int(over.sum())
    assert ends > n


def test_the_guides_lift_is_the_plain_lift() -> None:
    """Both games with the same draws: one copy's rewards and masks over a day."""
    numba_lift, plain = loaded("numba_lift"), loaded("lift").Lift()
    envs = numba_lift.lift.vector(1)
    obs, info = envs.reset(seed=1)
    seen, facts = plain.reset(seed=1)
    actions, truncated = np.random.default_rng(0), np.zeros(1, bool)
    for _ in range(40):
        assert np.array_equal(obs[0], seen)
        assert np.array_equal(info["action_mask"][0], facts["action_mask"])
        action = actions.choice(np.flatnonzero(facts["action_mask"]))
        obs, reward, _, truncated, info = envs.step(np.array([action]))
        seen, wanted, _, cut, facts = plain.step(action)
        assert reward[0] == pytest.approx(wanted)
        assert truncated[0] == cut
    assert truncated[0]


def test_a_choice_comes_with_all_arguments() -> None:
    """Of a OneOf the action is (choice, all branches' arguments in a row)."""

    def move(state, action, generator):
        choice, numbers = action
        state[0] += numbers[0] if choice == 0 else numbers[1] + numbers[2]
        return float(choice), False, False

    space = OneOf([Box(-1, 1, (1,), np.float32), Box(-1, 1, (2,), np.float32)])
    envs = NumbaTask(SEE, space, 2, begin, move, observe).vector(2)
    before, _ = envs.reset(seed=0)
    first, second = np.array([[0.5], [0.0]], np.float32), np.array([[0.0, 0.0], [0.25, 0.5]], np.float32)
    obs, reward, *_ = envs.step((np.array([0, 1]), (first, second)))
    assert np.allclose(obs[:, 0] - before[:, 0], [0.5, 0.75])
    assert reward.tolist() == [0, 1]


def test_it_is_trained_by_name_and_resumes_exactly(tmp_path: Path) -> None:
    """By id it is native; a run that was broken off has the parameters of one that was not."""
    NumbaTask(SEE, CHOOSE, 2, begin, step, observe).register("Counted-v0", reward_threshold=5.0)
    try:
        whole = clipper.train("Counted-v0", clipper.PPO(horizon=8), num_envs=4, total_steps=96)
        assert whole.rollouts.env.unwrapped.__class__.__name__ == "Native"  # pyright: ignore[reportAttributeAccessIssue]
        stop = lambda run: run.iteration < 2  # noqa: E731
        clipper.train(
            "Counted-v0", clipper.PPO(horizon=8), num_envs=4, total_steps=96, run_dir=tmp_path / "run", callback=stop
        )
        resumed = clipper.train(resume=tmp_path / "run")
        assert all(map(np.array_equal, weights(whole), weights(resumed)))
        alone = gymnasium.make("Counted-v0")
        assert alone.reset(seed=0)[0].shape == (2,)
    finally:
        del gymnasium.registry["Counted-v0"]


def weights(run: clipper.Run) -> list[np.ndarray]:
    return [x.detach().numpy() for x in run.policy.parameters()]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((Discrete(3), CHOOSE, 2, begin, step, observe), "observes a Box"),
        ((SEE, Dict(a=CHOOSE), 2, begin, step, observe), "acts in a Discrete"),
        ((SEE, CHOOSE, 0, begin, step, observe), "whole number from 1"),
    ],
)
def test_what_does_not_fit_is_said(arguments: tuple, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        NumbaTask(*arguments)
