"""Episodes of environments whose columns are agents: a team's return, each agent's, and steps of the environments."""

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from clipper.data.steps import Steps
from clipper.environments.checks import AGENTS, DECIDES, TEAM_REWARD, Answer, describe
from clipper.environments.told_episodes import Info
from clipper.errors import EnvironmentContractError
from clipper.rollout.protocol import Episode
from clipper.rollout.state import CollectState
from clipper.storage.saved import like


class Teams:
    """Counts episodes by environment; a stage of collecting, which sees a step before its row is kept.

    An episode's return is the sum over its agents' rewards, where ``TEAM_REWARD`` gives each of them that sum already,
    one of them; its length is in steps of the environment; its ``env`` is the column of the first agent. It ends when
    the last agent's does. ``metrics`` hold ``episode/return/AGENT``, each agent's mean return of the episodes that
    ended last, and ``env/steps``.
    """

    def __init__(self, env: VectorEnv, state: CollectState) -> None:
        self.env, self.state = env, state
        self.names: tuple[str, ...] = env.metadata[AGENTS]
        self.agents, self.shared = len(self.names), bool(env.metadata.get(TEAM_REWARD))
        self.teams, n = env.num_envs // self.agents, env.num_envs
        self.total, self.length = np.zeros(self.teams), np.zeros(self.teams, np.int64)
        self.own, self.own_length = np.zeros(n), np.zeros(n, np.int64)
        self.returns = np.full(self.agents, np.nan)
        """Each agent's mean return of the episodes that ended last."""
        self.steps, self.ended = 0, list[Episode]()
        self.finished = list[np.ndarray]()
        """Returns of the agents, ``[A]``, of each episode that ended in this segment."""

    def reset(self) -> None:
        """Forget unfinished episodes."""
        for x in (self.total, self.length, self.own, self.own_length):
            x[:] = 0

    def begin(self) -> None:
        """Nothing of a segment that was broken off counts."""
        self.ended, self.finished = [], []

    def step(self, t: int, answer: Answer) -> Answer:
        """Count a step's rewards where somebody decided, and the episodes that ended with it."""
        _, reward, _, _, info = answer
        decided = ~self.state.done
        gain = np.where(decided, reward, 0.0)
        self.own += gain
        self.own_length += decided
        by_team, acted = gain.reshape(self.teams, -1), decided.reshape(self.teams, -1)
        playing = acted.any(1)
        first = acted.argmax(1)
        self.total += by_team[np.arange(self.teams), first] if self.shared else by_team.sum(1)
        self.length += playing
        self.steps += int(playing.sum())
        for e in np.flatnonzero(playing & ~self.decides(info).reshape(self.teams, -1).any(1)).tolist():
            self.end(e)
        return answer

    def decides(self, info: Info) -> np.ndarray:
        """Which columns decide next, ``[N]``."""
        if DECIDES not in info:
            raise EnvironmentContractError(
                f"{describe(self.env)} names its agents, but its info lacks {DECIDES!r}: say which columns decide next"
            )
        return info[DECIDES]

    def end(self, e: int) -> None:
        """The episode of environment e has ended: note it, if it was wanted."""
        mine = slice(e * self.agents, (e + 1) * self.agents)
        left = self.state.left[mine]
        if (left > 0).any():
            self.ended.append(Episode(mine.start, float(self.total[e]), int(self.length[e])))
            self.finished.append(self.own[mine].copy())
        left -= (self.own_length[mine] == 0) & (left > 0)  # who took no part has finished it, too
        self.total[e] = self.length[e] = 0
        self.own[mine] = self.own_length[mine] = 0

    def finish(self, steps: Steps) -> Steps:
        """The episodes of teams in place of those of columns."""
        self.state.episodes = self.ended
        if self.finished:
            self.returns = np.mean(self.finished, axis=0)
        self.tell()
        return steps

    def tell(self) -> None:
        """What to note with each row of metrics."""
        found = zip(self.names, self.returns.tolist(), strict=True)
        told = {f"episode/return/{name}": x for name, x in found if np.isfinite(x)}
        self.state.metrics |= told | {"env/steps": float(self.steps)}

    def quota(self, of_teams: np.ndarray) -> np.ndarray:
        """Episodes that each column finishes, ``[N]``, from those of each environment, ``[E]``."""
        return np.repeat(of_teams, self.agents)

    def tensors(self) -> dict[str, Tensor]:
        """What the next segment goes on from."""
        names = ("total", "length", "own", "own_length", "returns")
        found = {f"teams.{name}": torch.from_numpy(getattr(self, name).copy()) for name in names}
        return found | {"teams.steps": torch.tensor(self.steps)}

    def load(self, tensors: dict[str, Tensor], episodes: bool = True) -> None:
        """The inverse; without ``episodes`` what is of unfinished ones is left."""
        for name, live in self.tensors().items():
            if not episodes and name not in ("teams.returns", "teams.steps"):
                continue
            saved = like(name, live, tensors)
            if name == "teams.steps":
                self.steps = int(saved)
            else:
                setattr(self, name.removeprefix("teams."), saved.numpy().copy())
        self.tell()
