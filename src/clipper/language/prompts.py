"""Where prompts come from: a list, a file of JSON lines, or a function."""

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Generator, Tensor

from clipper.data.values import shown
from clipper.errors import ClipperError, ConfigError
from clipper.storage.saved import value_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Prompt: TypeAlias = str | Sequence[int] | Mapping[str, object]
"""A text, tokens, or a row whose entry ``prompt`` is one of both; the reward is called with it as it is."""
Source: TypeAlias = str | Path | Sequence[Prompt] | Callable[[int, Generator], Sequence[Prompt]]
LARGEST_LINE = 10_000_000
MOST_AT_ONCE = 1_000_000


@runtime_checkable
class Prompts(Protocol):
    """What gives the prompts of one iteration after another's."""

    def take(self, count: int, generator: Generator) -> list[Prompt]:
        """The next prompts."""
        ...

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """What the next ones depend on beside the generator."""
        ...

    def load_state_dict(self, tensors: dict[str, Tensor], values: Mapping[str, object]) -> None:
        """Go back to such a state."""
        ...


def digest_of(prompts: Sequence[Prompt]) -> str:
    """SHA-256, by which prompts are known again."""
    return hashlib.sha256(json.dumps(prompts, default=shown).encode("utf-8", "surrogatepass")).hexdigest()


class PromptList:
    """Prompts of a list: all of them, shuffled anew for each pass."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        if not prompts:
            raise ConfigError("there is no prompt: give one at least")
        self.prompts = list(prompts)
        self.order, self.cursor = torch.arange(len(self.prompts)), len(self.prompts)
        self.digest = digest_of(self.prompts)

    def take(self, count: int, generator: Generator) -> list[Prompt]:
        """The next prompts of the pass, and of as many further passes as it takes."""
        found = list[Prompt]()
        while len(found) < count:
            if self.cursor == len(self.prompts):
                self.order, self.cursor = torch.randperm(len(self.prompts), generator=generator), 0
            chosen = self.order[self.cursor : self.cursor + count - len(found)].tolist()
            found += [self.prompts[i] for i in chosen]
            self.cursor += len(chosen)
        return found

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        return {"prompt_order": self.order}, {"prompt_cursor": self.cursor, "prompt_digest": self.digest}

    def load_state_dict(self, tensors: dict[str, Tensor], values: Mapping[str, object]) -> None:
        order, cursor = tensors["prompt_order"].clone(), value_of("prompt_cursor", int, values)
        whole = torch.arange(len(self.prompts))
        if len(order) != len(whole):
            raise ConfigError(f"this run has {len(order)} prompts, and {len(whole)} were given: give the same ones")
        if value_of("prompt_digest", str, values) != self.digest:
            raise ConfigError(f"this run has other prompts than the {len(whole)} that were given: give the same ones")
        if not torch.equal(order.sort().values, whole) or not 0 <= cursor <= len(order):
            raise ValueError("prompt_order is no order of the prompts, or prompt_cursor lies outside of it")
        self.order, self.cursor = order, cursor


class PromptFunction:
    """Prompts that a function makes: ``make(count, generator)``. All that it draws should come of the generator."""

    def __init__(self, make: Callable[[int, Generator], Sequence[Prompt]]) -> None:
        self.make, self.unlike = make, ""
        self.latest: tuple[int, Tensor, str] | None = None
        """How many were asked for last, from which state of the generator, and a digest of what came."""

    def take(self, count: int, generator: Generator) -> list[Prompt]:
        before = generator.get_state()
        found = list(self.make(count, generator))
        if len(found) != count:
            raise ConfigError(f"{count} prompts were asked for, and the function gave {len(found)}: give as many")
        drawn = hashlib.sha256(generator.get_state().numpy().tobytes()).hexdigest()
        self.latest = count, before, f"{digest_of(found)} {drawn}"
        return found

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        if self.latest is None:
            return {}, {}
        count, before, digest = self.latest
        return {"prompt_generator": before}, {"prompt_count": count, "prompt_digest": digest}

    def load_state_dict(self, tensors: dict[str, Tensor], values: Mapping[str, object]) -> None:
        """Ask once more for the prompts that came last, which tells whether it is the same function (``unlike``)."""
        if "prompt_digest" not in values:  # of an older file, or before the first
            return
        count, generator = value_of("prompt_count", int, values), Generator()
        if not 0 < count <= MOST_AT_ONCE:
            raise ValueError(f"prompt_count is {count}, as many as nobody asks for")
        generator.set_state(tensors["prompt_generator"])
        try:
            self.take(count, generator)
        except ClipperError:
            raise
        except Exception as error:  # of the user's own function, and no fault of the file's
            raise ConfigError(
                f"the function of prompts fails where it is asked once more for the {count} that came last: {error!r}"
            ) from error
        if self.latest is not None and self.latest[2] != value_of("prompt_digest", str, values):
            self.unlike = (
                "the function of prompts gives others than it gave last, from the same generator: it is another one, "
                "or it keeps something that no file has"
            )


def anew(prompts: Prompts) -> Prompts:
    """The same prompts from the start, apart from what has been taken."""
    return PromptList(prompts.prompts) if isinstance(prompts, PromptList) else copy.deepcopy(prompts)


def make_prompts(source: Source | Prompts) -> Prompts:
    """Prompts of a list, of a file of JSON lines, or of a function."""
    if isinstance(source, Prompts):
        return source
    if isinstance(source, str | Path):
        return PromptList(read_prompts(Path(source)))
    if callable(source):
        return PromptFunction(source)
    if isinstance(source, Sequence):
        return PromptList(source)
    raise ConfigError(f"{shown(source)} gives no prompts: give a list, a .jsonl file or a function (count, generator)")


def read_prompts(path: Path) -> list[Prompt]:
    """A file's rows, each a JSON text, a list of tokens, or an object with an entry ``prompt``."""
    found = list[Prompt]()
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    found.append(read_row(line, f"line {number} of {path}"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"prompts cannot be read from {path}: {error}") from error
    if not found:
        raise ConfigError(f"{path} holds no prompt: write one at least, each on a line of its own")
    return found


def read_row(line: str, place: str) -> Prompt:
    """One row; raises ``ConfigError`` where it is no prompt."""
    if len(line) > LARGEST_LINE:
        raise ConfigError(f"{place} is longer than {LARGEST_LINE:,} letters: make it shorter")
    try:
        row: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{place} is no JSON: {error}") from error
    inner = row.get("prompt") if isinstance(row, dict) else row
    if isinstance(inner, str) or (isinstance(inner, list) and all(type(x) is int for x in inner)):
        return row  # pyright: ignore[reportReturnType] (just looked at)
    raise ConfigError(f'{place} is no prompt: write {{"prompt": "a text"}}, a text, or a list of tokens')


def tokens_of(prompt: Prompt, tokenizer: "PreTrainedTokenizerBase | None") -> list[int]:
    """A prompt's tokens; raises ``ConfigError`` for a text without a tokenizer."""
    inner = prompt.get("prompt") if isinstance(prompt, Mapping) else prompt
    if isinstance(inner, str):
        if tokenizer is None:
            raise ConfigError("a prompt is a text, and the model came without a tokenizer: give (model, tokenizer)")
        return list(tokenizer(inner)["input_ids"])
    if isinstance(inner, Sequence) and all(isinstance(x, int) and not isinstance(x, bool) for x in inner):
        return list(inner)
    raise ConfigError(f"{shown(prompt)} is no prompt: give a text, a list of tokens, or a row with an entry prompt")
