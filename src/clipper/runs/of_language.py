"""What a run on prompts can do besides: methods of its rollouts, as the run's own."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, overload, runtime_checkable

from clipper.data.trees import Tree
from clipper.environments.sources import describe_source
from clipper.errors import ConfigError
from clipper.rollout.protocol import Rollouts
from clipper.settings.language import LanguageConfig


@runtime_checkable
class OnPrompts(Protocol):
    """Rollouts whose decisions are tokens of responses."""

    @property
    def language(self) -> LanguageConfig: ...


def language_of(source: object) -> LanguageConfig | None:
    """How a source answers prompts; None where it does not."""
    return source.language if isinstance(source, OnPrompts) else None


def name_of_source(source: object) -> str:
    """A name for what was not given by id, for people."""
    language = language_of(source)
    return describe_source(source) if language is None else language.title


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
