"""Atari: the preprocessing against ale-py's own, Gymnasium's and a plain loop; scores, lives, resumption, refusals."""

import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from batches import stepped

import clipper
from clipper import PPO, PolicyOptions
from clipper.cli.arguments import train_defaults
from clipper.cli.commands import run_command
from clipper.environments import make, make_single
from clipper.environments.atari import Atari, Game, make_native, read_options
from clipper.environments.atari.pictures import Shrink
from clipper.environments.state import get_state, set_state
from clipper.environments.vector.stepping import vectorise
from clipper.errors import ConfigError, CorruptCheckpointError, MissingPackageError, UnknownEnvironmentError
from clipper.networks.policy_options import EncoderOptions
from clipper.pictures.play import play
from clipper.settings.defaults import ATARI_PPO

BREAKOUT, PONG = "ALE/Breakout-v5", "ALE/Pong-v5"
SMALL = PolicyOptions(hidden=(), shared=True, encoder=EncoderOptions(cnn_features=8))


def game(name: str = BREAKOUT, **given: Any) -> Game:
    env = make_single(",".join([name, *(f"{key}={str(value).lower()}" for key, value in given.items())]))
    assert isinstance(env, Game)
    return env


def play_out(env: Any, steps: int, seed: int = 0, actions: int | None = None) -> list[tuple[Any, ...]]:
    """What reset and step gave, with random actions; after an end comes a row with what reset gave."""
    rng, ended = np.random.default_rng(seed), False
    rows: list[tuple[Any, ...]] = [(env.reset(seed=seed)[0], 0.0, False, False)]
    for _ in range(steps):
        action = int(rng.integers(actions or env.action_space.n))
        rows.append((env.reset()[0], 0.0, False, False) if ended else env.step(action)[:4])
        ended = rows[-1][2] or rows[-1][3]
    return rows


SETTINGS = {
    "standard": {},
    "colours": {"obs_type": "rgb", "screen_size": 40, "stack_num": 2},
    "other frames": {"frameskip": 3, "maxpool": False, "repeat_action_probability": 0.25, "stack_num": 1},
    "every button": {"full_action_space": True, "use_fire_reset": False, "reward_clipping": False},
    "whole games": {"episodic_life": False, "frameskip": 1, "max_num_frames_per_episode": 100},
}


@pytest.mark.parametrize("settings", SETTINGS)
def test_one_game_is_ale_pys_vector_environment_with_lives_as_in_baselines(settings: str) -> None:
    given = SETTINGS[settings]
    options = Atari(noop_max=1, **given)
    many = make_native(BREAKOUT, options, 2, 1)
    rows = play_out(game(noop_max=1, **given), 130, seed=3)
    obs, _ = many.reset(seed=2)
    rng, ends = np.random.default_rng(3), 0
    for t, (picture, reward, terminated, truncated) in enumerate(rows):
        gain, ended, cut = np.zeros(2), np.zeros(2, bool), np.zeros(2, bool)
        if t:
            action = int(rng.integers(many.single_action_space.n))  # pyright: ignore[reportAttributeAccessIssue]
            obs, gain, ended, cut, _ = many.step(np.array([0, action]))
        assert np.array_equal(obs[1], picture), t
        assert (gain[1], ended[1], cut[1]) == (reward, terminated, truncated), t
        ends += terminated or truncated
    assert ends > 0, "nothing was compared across an end"
    many.close()


def plain_means(picture: np.ndarray, size: int) -> np.ndarray:
    """The mean over each area, by two matrices of overlaps in float64."""

    def overlaps(source: int) -> np.ndarray:
        edges, pixel = np.linspace(0, source, size + 1), np.arange(source)
        low, high = np.maximum(edges[:-1, None], pixel), np.minimum(edges[1:, None], pixel + 1)
        return np.maximum(high - low, 0) / (source / size)

    height, width = picture.shape
    return overlaps(height) @ picture.astype(np.float64) @ overlaps(width).T


class PlainOpenCV:
    """What Gymnasium's wrapper asks of OpenCV."""

    INTER_AREA = 3

    @staticmethod
    def resize(picture: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
        return np.rint(plain_means(picture, size[0]))


def test_it_sees_what_gymnasiums_wrappers_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", PlainOpenCV)
    ours = game(noop_max=1, use_fire_reset=False, episodic_life=False, reward_clipping=False)
    plain = gymnasium.make(BREAKOUT, frameskip=1, repeat_action_probability=0.0, disable_env_checker=True)
    monkeypatch.setattr(plain.unwrapped, "seed_game", lambda seed: plain.unwrapped.ale.setInt("random_seed", seed))  # pyright: ignore[reportAttributeAccessIssue]
    theirs = gymnasium.wrappers.FrameStackObservation(
        gymnasium.wrappers.AtariPreprocessing(plain, noop_max=0), 4, padding_type="zero"
    )
    rng, over, total, told = np.random.default_rng(0), False, 0.0, {}
    a, b = ours.reset(seed=5)[0], theirs.reset(seed=5)[0]
    while not over:
        # At means of .5 float64 may round to another number than float32.
        assert np.abs(a.astype(float) - b).max() <= 1
        assert (np.abs(a.astype(float) - b) > 0).mean() < 0.01
        action = int(rng.integers(4))
        a, *answer, told = ours.step(action)
        b, *expected, _ = theirs.step(action)
        assert answer == expected
        total, over = total + answer[0], answer[1]
    assert told["episode_return"] == total


class Counting:
    """An emulator that notes what it is asked for."""

    def __init__(self, ale: Any) -> None:
        self.ale, self.rewards, self.buttons = ale, [], []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ale, name)

    def act(self, button: int) -> int:
        reward = self.ale.act(button)
        self.rewards.append(reward)
        self.buttons.append(button)
        return reward


def test_scores_are_the_emulators_own_over_all_lives() -> None:
    env = game("ALE/Seaquest-v5")
    env.ale = counting = Counting(env.ale)
    rng, decisions, ends, told = np.random.default_rng(0), 0, 0, {}
    env.reset(seed=0)
    start, gains = len(counting.rewards), set()
    while not told:
        _, reward, terminated, _, told = env.step(int(rng.integers(18)))
        decisions, gains = decisions + 1, gains | {reward}
        if terminated and not told:
            env.reset()
        ends += terminated
    assert told == {"episode_return": sum(counting.rewards[start:]), "episode_length": decisions}
    assert ends == 4, "three lives besides the first"
    assert gains == {0.0, 1.0}
    assert sum(counting.rewards[start:]) > ends


def test_training_sees_lives_and_signs_where_the_log_has_games_and_scores() -> None:
    told: list[Any] = []
    for vector in ("serial", "native"):
        env = vectorise(f"{BREAKOUT},noop_max=1", 3, vector).env
        spaces = env.single_observation_space, env.single_action_space
        policy = clipper.make_policy(*spaces, SMALL, torch.Generator().manual_seed(0))
        state = clipper.VectorRollouts(env, 0)
        steps, _ = state.collect(policy, horizon=230)
        assert set(steps.reward.unique().tolist()) == {0.0, 1.0}
        ends = steps.done[:-1]
        assert torch.equal(steps.terminated, steps.done)
        assert torch.equal(~steps.mask[1:], ends), "the row after a life is nobody's"
        assert ends.sum() > 2 * len(state.episodes) > 0, "lives, not games"
        first, second = steps.obs[2:][ends[:-1]], steps.obs[3:][ends[:-2]]
        assert not first[:, :3].any(), "of the life before nothing is seen"
        assert not second[:, :2].any()
        assert bool(second[:, 2:].flatten(2).any(2).all())
        assert state.steps == steps.mask.sum()
        for one in state.episodes:  # the first of its environment
            last = [t for t in range(len(steps.done)) if steps.done[t, one.env]][4]
            assert one.length == int(steps.mask[: last + 1, one.env].sum())
            assert one.total == float(steps.reward[: last + 1, one.env].sum()), "these bricks count 1"
        told.append((steps, state.episodes))
        env.close()
    (steps, episodes), (others, same) = told
    assert episodes == same
    assert all(torch.equal(getattr(steps, name), getattr(others, name)) for name in ("obs", "reward", "done", "mask"))


def test_a_game_that_is_cut_off_is_valued_at_its_own_last_picture() -> None:
    source = f"{BREAKOUT},noop_max=1,use_fire_reset=false,max_num_frames_per_episode=24"
    env, single = make(source, 1), make_single(source)
    policy = clipper.make_policy(
        env.single_observation_space, env.single_action_space, SMALL, torch.Generator().manual_seed(0)
    )
    state = clipper.VectorRollouts(env, 7)
    steps, _ = state.collect(policy, horizon=8)
    assert steps.done[:, 0].nonzero().flatten().tolist() == [5]
    assert not steps.terminated.any()
    assert steps.mask[:, 0].tolist() == [True] * 6 + [False, True]
    single.reset(seed=7)
    last = [single.step(int(a))[0] for a in steps.action[:6, 0]][-1]
    assert np.array_equal(steps.obs[6, 0].numpy(), last)
    assert [(episode.env, episode.length) for episode in state.episodes] == [(0, 6)]


def test_fire_is_pressed_where_a_game_or_a_life_begins() -> None:
    for fires in (True, False):
        env = game(use_fire_reset=fires, noop_max=1)
        env.ale = counting = Counting(env.ale)
        env.reset(seed=0)
        lives, ended = env.lives, False
        for _ in range(60):
            ended = env.step(0)[2] if not ended else (env.reset(), False)[1]
        assert (env.lives < lives) == fires, "without FIRE no ball is served"
        assert counting.buttons.count(1) == (1 + 4 * (lives - env.lives) if fires else 0)


def test_lives_follow_one_another_unless_a_whole_game_is_asked_for() -> None:
    env = make(f"{BREAKOUT},noop_max=1", 1)
    for whole in (False, True):
        env.reset(seed=0)
        single: Any = env.envs[0]  # pyright: ignore[reportAttributeAccessIssue]
        while not env.step(np.array([0]))[2][0]:
            pass
        assert single.life_lost
        env.reset() if whole else env.step(np.array([0]))
        assert single.lives == (5 if whole else 4)
        assert (single.length == 0) == whole


def changed(name: str, **given: Any) -> bool:
    """Does a setting change what a game gives, with the same seed and actions?"""
    steps = 150 if "reward_clipping" in given else 60
    plain, other = (play_out(game(name, **own), steps, actions=4) for own in ({}, given))
    return any(
        a[1:] != b[1:] or a[0].shape != b[0].shape or not np.array_equal(a[0], b[0])
        for a, b in zip(plain, other, strict=True)
    )


SWITCHES: dict[str, Any] = {
    "noop_max": 1, "frameskip": 2, "maxpool": False, "episodic_life": False, "use_fire_reset": False, "screen_size": 42,
    "obs_type": "ram", "stack_num": 2, "repeat_action_probability": 0.25, "max_num_frames_per_episode": 80,
    "full_action_space": True, "mode": 4, "difficulty": 1, "reward_clipping": False,
}  # fmt: skip


def test_the_same_settings_give_the_same_game() -> None:
    assert not changed(BREAKOUT)


@pytest.mark.parametrize("switch", Atari.__slots__)
def test_every_switch_changes_what_is_seen(switch: str) -> None:
    # Space Invaders has sprites that flicker, points above 1, several variants, and FIRE to shoot with.
    name = "ALE/SpaceInvaders-v5" if switch in ("maxpool", "reward_clipping", "mode", "difficulty") else BREAKOUT
    assert changed(name, **{switch: SWITCHES[switch]})


def test_memory_is_seen_as_numbers_up_to_one() -> None:
    env = game(PONG, obs_type="ram", stack_num=2)
    obs, _ = env.reset(seed=0)
    assert obs.dtype == np.float32
    assert obs.shape == (256,)
    assert np.array_equal(np.rint(255 * env.step(0)[0][128:]), env.ale.getRAM())
    run = clipper.train(f"{PONG},obs_type=ram", PPO(horizon=16, epochs=1), num_envs=2, total_steps=32, vector="serial")
    assert run.config.policy == PolicyOptions()


@pytest.mark.parametrize(
    "given", [{"screen_size": 36}, {"repeat_action_probability": 0.25, "noop_max": 5, "obs_type": "ram"}]
)
def test_a_game_goes_on_where_it_was_saved(given: dict[str, Any]) -> None:
    given = given | {"max_num_frames_per_episode": 200}
    env, rng, kinds = game(**given), np.random.default_rng(0), set()
    env.reset(seed=1)
    for t in range(90):
        kind = "game" if env.over else "life" if env.life_lost else "going on"
        if t == 15 or (kind != "going on" and kind not in kinds):
            kinds.add(kind)
            state, twin = get_state(env), game(**given)
            assert state is not None
            set_state(twin, state)
            if kind != "going on":
                assert np.array_equal(env.reset()[0], twin.reset()[0])
            action = int(rng.integers(4))
            (a, *answer), (b, *expected) = env.step(action), twin.step(action)
            assert np.array_equal(a, b)
            assert answer == expected
            env = twin
        elif kind == "going on":
            env.step(int(rng.integers(4)))
        else:
            env.reset()
    assert kinds == {"life", "game", "going on"}


@pytest.mark.parametrize(
    "history", ["", "00", "ff", "fffffe", "ff0012", "ff00fe", "zz", "ff00" * 30, "ff00" + "00" * 2000]
)
def test_a_history_that_cannot_have_been_is_refused(history: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipper.environments.atari.game.LOAD_AGAIN", 1000)
    env = game(max_num_frames_per_episode=100)
    env.reset(seed=0)
    state = get_state(env)
    assert state is not None
    layer = {"class": "clipper.environments.atari.game.Game", "state": {"seed": 0, "history": history}}
    bad = state._replace(values=state.values | {"layers": [layer]})
    with pytest.raises(CorruptCheckpointError, match=r"layers\.0\.state"):
        set_state(env, bad)


def test_a_run_is_resumed_bit_for_bit(tmp_path: Any) -> None:
    settings: dict[str, Any] = {"num_envs": 2, "total_steps": 96, "vector": "serial", "checkpoint_every": 32}
    algorithm, env = (
        PPO(horizon=16, epochs=1, minibatches=2),
        f"{BREAKOUT},screen_size=36,repeat_action_probability=0.25",
    )
    whole = clipper.train(env, algorithm, policy=SMALL, **settings)
    stopped = clipper.train(
        env, algorithm, policy=SMALL, run_dir=tmp_path / "run", callback=lambda run: run.iteration < 2, **settings
    )
    assert stopped.iteration == 2
    resumed = clipper.train(resume=tmp_path / "run")
    assert resumed.exact
    assert torch.equal(resumed.learner.parameters, whole.learner.parameters)
    assert torch.equal(stepped(resumed).obs, stepped(whole).obs)


def test_ale_pys_vector_environment_cannot_be_saved_and_says_so(tmp_path: Any) -> None:
    run = clipper.train(
        f"{PONG},screen_size=36", PPO(horizon=8, epochs=1, minibatches=2), policy=SMALL, num_envs=2, total_steps=32,
        vector="native", run_dir=tmp_path / "run", callback=lambda run: False,
    )  # fmt: skip
    assert run.stepping == "stepped natively by AtariVectorEnv"
    assert not clipper.train(resume=tmp_path / "run").exact


def test_a_run_begins_with_what_is_usual_for_atari(capsys: pytest.CaptureFixture[str]) -> None:
    config, _ = train_defaults([PONG])
    assert (config.num_envs, config.total_steps) == (8, 10_000_000)
    assert config.algorithm == ATARI_PPO
    assert config.policy.shared
    assert config.policy.encoder.cnn == "nature"
    policy = clipper.make_policy(
        gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8), gymnasium.spaces.Discrete(6), config.policy,
        torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert sum(p.numel() for p in policy.parameters()) == 1_687_719, "as CleanRL's ppo_atari.py has it"
    with pytest.raises(SystemExit):
        run_command(["train", PONG, "--help-all"])
    assert "repeat_action_probability=0.0" in "".join(capsys.readouterr().out.split())


def test_evaluating_and_playing_count_whole_games(tmp_path: Any) -> None:
    source = f"{BREAKOUT},screen_size=36,max_num_frames_per_episode=400"
    run = clipper.train(source, PPO(horizon=8, epochs=1), policy=SMALL, num_envs=2, total_steps=16, vector="serial")
    evaluation = run.evaluate(3, deterministic=False)
    assert len(evaluation.returns) == 3
    assert (evaluation.lengths <= 100).all()
    assert (evaluation.lengths > 60).all()
    shown = play(run.policy, source, video=tmp_path / "game.gif")
    assert shown.lengths[0] > 60
    assert (tmp_path / "game.gif").stat().st_size > 1000


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (f"{PONG},sticky=1", ConfigError, r"takes no sticky; .*repeat_action_probability=0\.0"),
        (f"{PONG},obs_type=sound", ConfigError, r"takes obs_type=grayscale\|rgb\|ram, not obs_type='sound'"),
        (f"{PONG},frameskip=2.5", ConfigError, r"takes frameskip=4 or the like, not frameskip=2\.5"),
        (f"{PONG},maxpool=1", ConfigError, r"takes maxpool=true or the like, not maxpool=1"),
        (f"{PONG},stack_num=0", ConfigError, "stack_num must be at least 1"),
        (f"{PONG},screen_size=200", ConfigError, "screen_size must be at most 160"),
        (f"{PONG},noop_max=300", ConfigError, "noop_max must lie within 0 and 256"),
        (f"{PONG},repeat_action_probability=1", ConfigError, "repeat_action_probability must lie within"),
        (f"{PONG},mode=77", ConfigError, "has no mode 77; there are: 0, 1"),
        ("ALE/Pnog-v5", UnknownEnvironmentError, "Did you mean ALE/Pong-v5"),
    ],
)
def test_what_is_wrong_is_said(source: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_single(source)


@pytest.mark.parametrize("given", ["obs_type=ram", "mode=1"])
def test_ale_pys_vector_environment_is_not_asked_for_what_it_lacks(given: str) -> None:
    with pytest.raises(ConfigError, match=rf"knows no {given.partition('=')[0]}.*use --vector workers, or serial"):
        vectorise(f"{PONG},{given}", 2, "native")


@pytest.mark.parametrize("vector", ["serial", "native"])
def test_without_ale_py_one_error_names_the_extra(vector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(MissingPackageError, match=r'pip install "ale-py>=0\.12"'):
        vectorise(PONG, 2, vector)


def test_areas_of_a_picture_are_means() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (210, 160)).astype(np.uint8)
    assert np.abs(Shrink(210, 160, 84)(picture) - plain_means(picture, 84)).max() <= 0.5 + 1e-4
    assert np.array_equal(Shrink(8, 8, 4)(np.full((8, 8), 7, np.uint8)), np.full((4, 4), 7))
    assert read_options(PONG, {"repeat_action_probability": 0}) == Atari()
