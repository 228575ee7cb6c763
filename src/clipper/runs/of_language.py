"""What a run on prompts can do besides: methods of its rollouts, as the run's own."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, overload, runtime_checkable

from clipper.data.trees import Tree
from clipper.errors import ConfigError
from clipper.rollout.protocol import Rollouts


@runtime_checkable
class HasRollouts(Protocol):
    """A run."""

    @property
    def policy(self) -> object: ...
    @property
    def rollouts(self) -> Rollouts: ...


class OfLanguage:
    """A method that the rollouts have where they are a language model's; ``with_policy`` is its first argument."""

    def __init__(self, name: str, with_policy: bool = False) -> None:
        self.name, self.with_policy = name, with_policy

    @overload
    def __get__(self, run: None, kind: type) -> "OfLanguage": ...
    @overload
    def __get__(self, run: HasRollouts, kind: type) -> Callable[..., Tree]: ...
    def __get__(self, run: HasRollouts | None, kind: type) -> "OfLanguage | Callable[..., Tree]":
        if run is None:
            return self
        method: Callable[..., Tree] | None = getattr(run.rollouts, self.name, None)
        if method is None:
            raise ConfigError(f"run.{self.name} is for runs on prompts: train one with clipper.train_language")
        return partial(method, run.policy) if self.with_policy else method
