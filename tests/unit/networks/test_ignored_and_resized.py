"""Parts of observations that nobody sees, as MiniGrid's mission, and images that are brought to another size."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Dict, Discrete, Text
from PIL import Image

import clipper
from clipper.cli.commands import run_command
from clipper.environments.vector.serial import Serial
from clipper.errors import ConfigError
from clipper.networks.encoders import ImageEncoder, area_means
from clipper.networks.policy_options import EncoderOptions, PolicyOptions
from clipper.pictures.play import play
from clipper.runs.header import large_images

QUICK = clipper.PPO(horizon=8, epochs=1, minibatches=1)
WITHOUT = PolicyOptions(hidden=(4,), encoder=EncoderOptions(ignore=("mission",), cnn_features=8))


class Grid(gymnasium.Env):
    """What MiniGrid's environments look like: a small image, a direction, and a mission in words."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (as Gymnasium has it)
    observation_space = Dict(
        image=Box(0, 255, (7, 7, 3), np.uint8), direction=Discrete(4), mission=Text(20, charset="abcdefghij ")
    )
    action_space = Discrete(3)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def look(self):
        image = self.np_random.integers(0, 9, (7, 7, 3), dtype=np.uint8)
        return {"image": image, "direction": int(self.np_random.integers(4)), "mission": "a big cage"}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.look(), {}

    def step(self, action):
        self.count += 1
        return self.look(), float(action), self.count == 5, False, {}

    def render(self):
        return np.zeros((16, 16, 3), np.uint8)


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> str:
    made: Any = Grid
    monkeypatch.setitem(gymnasium.registry, "Grid-v0", EnvSpec("Grid-v0", entry_point=made))
    return "Grid-v0"


@pytest.mark.parametrize("vector", ["serial", pytest.param("workers", marks=pytest.mark.long)])
def test_it_trains_is_loaded_evaluated_and_resumed_by_id(grid: str, vector: Any, tmp_path: Path) -> None:
    run = clipper.train(grid, QUICK, policy=WITHOUT, num_envs=2, total_steps=32, vector=vector, run_dir=tmp_path)
    assert sorted(run.policy.encoder.space) == ["direction", "image"]
    policy = clipper.load(tmp_path)
    env = gymnasium.make(grid, disable_env_checker=True)
    obs, _ = env.reset(seed=0)
    assert policy.predict(obs) in range(3)
    assert clipper.evaluate(tmp_path, episodes=2).lengths.tolist() == [5, 5]
    assert clipper.train(resume=tmp_path, total_steps=64).steps >= 64


def test_by_the_command_line_and_on_film(grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--num-envs", "2", "--horizon", "8", "--total-steps", "32", "--run-dir", str(tmp_path / "run")]
    assert run_command(["train", grid, *words]) == 2
    assert "leave it out" in capsys.readouterr().err
    assert run_command(["train", grid, *words, "--ignore", "mission", "direction"]) == 0
    assert play(clipper.load(tmp_path / "run"), Grid, video=tmp_path / "x.gif").lengths.tolist() == [5]


def test_what_is_not_there_or_all_there_is_is_refused() -> None:
    def options(*ignore: str, **more: Any) -> PolicyOptions:
        return PolicyOptions(encoder=EncoderOptions(ignore=ignore, **more))

    with pytest.raises(ConfigError, match=r"ignore names 'missions', but the observation has the keys .*mission"):
        clipper.train(Grid, policy=options("missions"))
    with pytest.raises(ConfigError, match="none is left"):
        clipper.train(Grid, policy=options("image", "direction", "mission"))
    with pytest.raises(ConfigError, match="has no keys"):
        clipper.train("CartPole-v1", policy=options("x"))
    with pytest.raises(ConfigError, match="'x' cannot be both ignored and read"):
        options("x", critic_only=("x",))


def test_ready_vector_environments_lose_what_networks_do_not_see() -> None:
    class Numbers(Grid):
        observation_space = Dict(x=Box(-1, 1, (2,)), y=Box(-1, 1, (5,)))

        def look(self):
            return {"x": np.zeros(2, np.float32), "y": np.ones(5, np.float32)}

    vector = Serial([Numbers, Numbers])
    policy = PolicyOptions(encoder=EncoderOptions(ignore=("y",)))
    run = clipper.train(vector, QUICK, policy=policy, total_steps=32)
    assert run.policy.encoder.features == 2
    with pytest.raises(ConfigError, match="ignore names 'z'"):
        clipper.train(vector, QUICK, policy=PolicyOptions(encoder=EncoderOptions(ignore=("z",))), total_steps=32)


@pytest.mark.parametrize(("before", "after"), [((210, 160), (84, 84)), ((7, 7), (3, 5)), ((6, 4), (12, 8))])
def test_pixels_are_means_over_the_areas_that_they_cover(before: tuple[int, int], after: tuple[int, int]) -> None:
    """Pillow's BOX filter is the same mean; it enlarges by repeating pixels."""
    pixels = np.random.default_rng(0).random(before, dtype=np.float32)
    rows, columns = (area_means(a, b) for a, b in zip(before, after, strict=True))
    ours = rows @ torch.from_numpy(pixels) @ columns.T
    theirs = Image.fromarray(pixels).resize((after[1], after[0]), Image.Resampling.BOX)
    if before[0] % after[0] == 0 or after[0] % before[0] == 0:
        np.testing.assert_allclose(ours, np.asarray(theirs), atol=1e-6)
    torch.testing.assert_close(rows.sum(1), torch.ones(after[0]))
    assert ours.mean().item() == pytest.approx(pixels.mean(), abs=1e-5)  # no area counts more than another


def test_a_whole_factor_is_the_mean_of_squares() -> None:
    space = Box(0, 255, (8, 8, 3), np.uint8)
    encoder = ImageEncoder(space, EncoderOptions(cnn_features=4, image_size=(4, 4)), torch.Generator())
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8))
    wanted = image.double().reshape(2, 4, 2, 4, 2, 3).mean((2, 4)).permute(0, 3, 1, 2)
    seen = []
    encoder.net.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    encoder(image)
    np.testing.assert_allclose(seen[0].double(), wanted / 255, atol=1e-6)


def test_an_image_network_of_more_than_ten_million_weights_is_told_of() -> None:
    space, actions = Box(0, 255, (210, 160, 3), np.uint8), Discrete(4)
    made = clipper.make_policy(space, actions, PolicyOptions(shared=True), torch.Generator())
    told = large_images(made)
    assert told.startswith("11,6")
    assert "210 × 160: --image-size 84 84" in told
    smaller = PolicyOptions(shared=True, encoder=EncoderOptions(image_size=(84, 84)))
    assert large_images(clipper.make_policy(space, actions, smaller, torch.Generator())) == ""
    assert large_images(object()) == ""
