"""What collecting does besides acting and keeping rows, joined to its loop where an environment asks for it.

A stage sees what each step gave before the row is kept; some look at the whole segment at its end.
"""

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv

from clipper.data.steps import Steps
from clipper.data.trees import Tree, same_form
from clipper.environments.checks import DECIDES, MASK_KEYS, RESTARTED, Answer, describe
from clipper.environments.mask_sources import read_masks
from clipper.environments.told_episodes import Info
from clipper.errors import EnvironmentContractError
from clipper.rollout.edges import Last, cut_off, reset_ended, with_last_observations
from clipper.rollout.episodes import Kept
from clipper.rollout.protocol import Episode
from clipper.rollout.state import CollectState


class Restarts:
    """Environments that are made anew where they fail: what that cut off ends truncated."""

    def __init__(self, env: VectorEnv, state: CollectState, kept: Kept) -> None:
        self.env, self.state, self.kept, self.rows = env, state, kept, list[tuple[int, np.ndarray]]()
        self.before = list[Episode]()
        """What the first row cut off of segments before."""
        state.metrics["env/restarts"] = 0

    def begin(self) -> None:
        """Nothing of a segment that was broken off counts."""
        self.rows = []

    def note(self, t: int, info: Info) -> None:
        if RESTARTED in info:
            self.rows.append((t, info[RESTARTED]))

    def cut(self, steps: Steps) -> Steps:
        """The steps with the episodes in question truncated; so are the flags on the host, in place."""
        self.before = []
        if self.rows:
            _, done, mask = self.kept.flags
            self.before = cut_off(done, mask, self.rows, self.state)
            device = steps.mask.device
            steps = steps._replace(done=torch.from_numpy(done).to(device), mask=torch.from_numpy(mask).to(device))
        self.state.metrics["env/restarts"] = self.env.restarts  # pyright: ignore[reportAttributeAccessIssue]
        return steps

    def count(self, steps: Steps) -> Steps:
        """Add the episodes that ended before the segment began."""
        if self.before and self.state.told is None:
            self.state.episodes = self.before + self.state.episodes
        return steps


class Edges:
    """Environments that do not reset in the next step: their last observations get rows of their own."""

    def __init__(self, env: VectorEnv, state: CollectState) -> None:
        self.env, self.state, self.last = env, state, list[Last]()

    def begin(self) -> None:
        """Nothing of a segment that was broken off counts."""
        self.last = []

    def reset(self, t: int, answer: Answer) -> Answer:
        """The first observations of new episodes, in place of the last ones of those that ended."""
        obs, reward, terminated, truncated, info = answer
        done = terminated | truncated
        if not done.any():
            return answer
        if self.state.mode is AutoresetMode.DISABLED:  # the reset may clear the environments' arrays
            reward, terminated, truncated = reward.copy(), terminated.copy(), truncated.copy()
        obs, info, ended = reset_ended(self.env, obs, done, info, self.state, t)
        self.last += [e for e in ended if self.state.left[e.env] > 0]
        return obs, reward, terminated, truncated, info

    def insert(self, steps: Steps) -> Steps:
        """The steps with a row for each last observation."""
        return with_last_observations(steps, self.last, self.state.obs) if self.last else steps


class Masks:
    """What is legal next, where the environment says so."""

    def __init__(self, env: VectorEnv, state: CollectState) -> None:
        self.env, self.state, self.next_step = env, state, state.mode is AutoresetMode.NEXT_STEP
        self.known = False

    def begin(self, obs: Tree, info: Info) -> None:
        """Note what is legal after a reset."""
        self.read(obs, info, info.get(DECIDES, np.ones(self.env.num_envs, dtype=bool)))

    def step(self, t: int, answer: Answer) -> Answer:
        """Note what is legal next; in next-step mode an environment that is done decides nothing."""
        obs, _, terminated, truncated, info = answer
        needed = info.get(DECIDES, ~(terminated | truncated) if self.next_step else np.ones_like(terminated))
        if needed.any():  # else none need be given, and any will do
            self.read(obs, info, needed)
        return answer

    def read(self, obs: Tree, info: Info, needed: np.ndarray) -> None:
        state, env = self.state, self.env
        assert state.mask_source is not None
        masks = read_masks(state.mask_source, env, obs, info, needed, state.steps, state.generator.device)
        if self.known and not same_form(masks, state.action_mask):
            raise EnvironmentContractError(
                f"{describe(env)} gives masks of another form than before, after {state.steps} decisions in all: a "
                "part's mask must be a table always, or never"
            )
        self.known, state.action_mask = True, masks


class NoMasks:
    """An environment that gave no masks with its first reset must go on so."""

    def __init__(self, env: VectorEnv) -> None:
        self.env = env

    def begin(self, obs: Tree, info: Info) -> None:
        pass

    def refuse(self, t: int, info: Info) -> None:
        """Raise where there are some after all: nobody would read them."""
        if not info.keys().isdisjoint(MASK_KEYS):
            raise EnvironmentContractError(
                f"{describe(self.env)} gave a mask in the info of a step, but none in that of its reset: give it in "
                "both"
            )
