"""Causal language models of ``transformers``, which no other file imports: a folder, a model, or a configuration."""

import copy
import hashlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn

from clipper.data.values import shown
from clipper.errors import ConfigError, MissingPackageError, install_command

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    Model: TypeAlias = (
        "str | Path | PreTrainedModel | PreTrainedConfig | tuple[PreTrainedModel, PreTrainedTokenizerBase]"
    )


class Loaded(NamedTuple):
    """A causal language model, and what turns text into its tokens."""

    lm: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase | None"


def load_model(model: "Model", seed: int) -> Loaded:
    """A folder (weights as safetensors), a ``PreTrainedModel``, alone or with its tokenizer, or a configuration.

    A configuration is made a model at random, from ``seed``. Nothing is downloaded, no code of a folder is run.
    """
    try:
        import transformers  # noqa: PLC0415 (it takes seconds)
    except ImportError as error:
        raise MissingPackageError(f"language models need transformers: {install_command('language')}") from error
    if isinstance(model, str | Path):
        return from_folder(Path(model))
    lm, tokenizer = model if isinstance(model, tuple) else (model, None)
    if isinstance(lm, transformers.PreTrainedConfig):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            lm = transformers.AutoModelForCausalLM.from_config(lm)
    if not isinstance(lm, transformers.PreTrainedModel):
        raise ConfigError(
            f"{shown(lm)} is no language model: give a folder, a transformers PreTrainedModel or its configuration"
        )
    check_model(lm)
    return Loaded(lm, tokenizer)


def tiny_llama(vocabulary: int, width: int = 64, layers: int = 2, heads: int = 4) -> "PreTrainedConfig":
    """A small Llama of its own vocabulary, without tokens that begin or end a text."""
    from transformers import LlamaConfig  # noqa: PLC0415

    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
        num_attention_heads=heads, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip


def from_folder(folder: Path) -> Loaded:
    """Model and tokenizer out of a folder as ``save_pretrained`` writes it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"{folder} holds no model, for it has no config.json: name a folder that save_pretrained wrote"
        )
    try:
        with quietly():
            lm = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, trust_remote_code=False
            )
    except (OSError, ValueError) as error:
        raise ConfigError(f"no model can be read from {folder}: {error}") from error
    named = any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False) if named else None
    check_model(lm)
    return Loaded(lm, tokenizer)


def save_model(lm: "PreTrainedModel", folder: Path) -> None:
    """Write a folder that ``from_folder`` reads."""
    with quietly():
        lm.save_pretrained(folder)


@contextmanager
def quietly() -> Iterator[None]:
    """Without the display that ``transformers`` draws while it reads or writes weights."""
    from transformers.utils import logging  # noqa: PLC0415

    shown_before = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown_before:
            logging.enable_progress_bar()


def copy_of(lm: "PreTrainedModel") -> "PreTrainedModel":
    """A copy without dropout, whose weights learn in float32: in bfloat16 small steps would be lost."""
    return copy.deepcopy(lm).float().requires_grad_(True).eval()


def trunk_of(lm: nn.Module) -> nn.Module:
    """The model without its output layer: tokens → hidden states."""
    return cast("PreTrainedModel", lm).base_model


def output_layer(lm: nn.Module) -> nn.Linear:
    """The layer that makes logits of hidden states."""
    return cast(nn.Linear, cast("PreTrainedModel", lm).get_output_embeddings())


def hidden_states(trunk: nn.Module, tokens: Int[Tensor, "N L"]) -> Tensor:
    """The hidden state behind each token, ``[N, L, d]``; padding on the right needs no attention mask."""
    return trunk(input_ids=tokens, use_cache=False).last_hidden_state


def vocabulary_of(lm: nn.Module) -> int:
    """V, the number of tokens."""
    return output_layer(lm).weight.shape[0]


def longest(lm: nn.Module) -> int | None:
    """How many tokens the model can read; None where nothing bounds it."""
    return getattr(cast("PreTrainedModel", lm).config, "max_position_embeddings", None)


def eos_of(loaded: Loaded) -> tuple[int, ...]:
    """The tokens that end a response, as tokenizer, generation settings or configuration name them."""
    generation = getattr(loaded.lm, "generation_config", None)
    named = (
        getattr(loaded.tokenizer, "eos_token_id", None),
        getattr(generation, "eos_token_id", None),
        getattr(loaded.lm.config, "eos_token_id", None),
    )
    found = next((x for x in named if x is not None), ())
    return (found,) if isinstance(found, int) else tuple(found)


class Decoder:
    """Decoding with a cache of fixed size: each call reads further tokens of all sequences, which are padded left."""

    def __init__(self, lm: nn.Module, mask: Int[Tensor, "N L"]) -> None:
        from transformers import StaticCache  # noqa: PLC0415

        self.lm, self.mask, self.read = cast("PreTrainedModel", lm), mask, 0
        self.position = (mask.cumsum(1) - 1).clamp(min=0)
        self.known = inspect.signature(type(lm).forward).parameters
        self.cache = StaticCache(config=self.lm.config, max_cache_len=mask.shape[1])

    def select(self, rows: Int[Tensor, " M"]) -> None:
        """Go on with these sequences, of which any may come several times."""
        self.mask, self.position = self.mask[rows], self.position[rows]
        self.cache.reorder_cache(cast(torch.LongTensor, rows))

    def __call__(self, tokens: Int[Tensor, "N l"]) -> Tensor:
        """Logits behind the last of these tokens, ``[N, V]``."""
        start, self.read = self.read, self.read + tokens.shape[1]
        given: dict[str, object] = {"cache" if "cache" in self.known else "past_key_values": self.cache}
        if "position_ids" in self.known:
            given["position_ids"] = self.position[:, start : self.read]
        if "logits_to_keep" in self.known:
            given["logits_to_keep"] = 1
        return self.lm(input_ids=tokens, attention_mask=self.mask[:, : self.read], use_cache=True, **given).logits[
            :, -1
        ]


@torch.no_grad()
def check_model(lm: "PreTrainedModel") -> None:
    """Raise ``ConfigError`` where logits are not what the output layer makes of the hidden states."""
    layer = lm.get_output_embeddings()
    if not isinstance(layer, nn.Linear):
        raise ConfigError(
            f"{type(lm).__name__} has no linear output layer: give a causal language model (…ForCausalLM)"
        )
    device = layer.weight.device
    probe = torch.arange(3, device=device)[None] % layer.weight.shape[0]
    training = lm.training
    lm.eval()
    hidden, logits = hidden_states(lm.base_model, probe), lm(input_ids=probe, use_cache=False).logits
    lm.train(training)
    if not torch.allclose(layer(hidden), logits, rtol=1e-3, atol=1e-3):
        raise ConfigError(
            f"the logits of {type(lm).__name__} are scaled or capped behind the output layer, which would be left out: "
            "use a model whose logits are the output layer's own"
        )


def digest(lm: nn.Module) -> str:
    """SHA-256 of all weights, by which a frozen model is known again."""
    found = hashlib.sha256()
    for name, x in lm.state_dict().items():
        found.update(f"{name} {x.dtype} {list(x.shape)}".encode())
        found.update(x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
