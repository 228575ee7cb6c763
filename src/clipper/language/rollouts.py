"""Rollouts of a language model: prompts in, responses scored, Steps out."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import torch
from gymnasium.spaces import Discrete
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.data.values import shown
from clipper.errors import ClipperError, ConfigError, CorruptCheckpointError, NonFiniteError
from clipper.functional.objectives import kl_estimates
from clipper.language.context import decisions, make_context, sampled_tokens
from clipper.language.generate import Sample, check_prompts, generate
from clipper.language.known_again import KeptReward
from clipper.language.models import digest, vocabulary_of
from clipper.language.policy import TokenPolicy
from clipper.language.prompts import Prompt, PromptList, Prompts, tokens_of
from clipper.language.shaping import moments_of_scores, rewarded
from clipper.networks.protocol import Actor
from clipper.rollout.protocol import Episode
from clipper.settings.language import AdaptiveKL, LanguageConfig
from clipper.storage.saved import value_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Response: TypeAlias = str | list[int]
Reward: TypeAlias = Callable[..., Sequence[float] | Tensor]
"""(prompts, responses) → a score for each response: texts, or tokens where there is no tokenizer."""


class Responses(NamedTuple):
    """Responses of a policy, and what they answer."""

    prompts: list[Prompt]
    responses: list[Response]
    sample: Sample


def check_all(prompts: PromptList, tokenizer: "PreTrainedTokenizerBase | None", lm: nn.Module, max_tokens: int) -> None:
    """Raise ``ConfigError`` for the first prompt of a list that the model cannot answer, by its number. A text that the
    tokenizer can read is looked at when it is drawn: to read all of a large list takes minutes.
    """
    for i, prompt in enumerate(prompts.prompts):
        try:
            inner = prompt.get("prompt") if isinstance(prompt, Mapping) else prompt
            if tokenizer is None or not isinstance(inner, str):
                check_prompts(lm, [tokens_of(prompt, tokenizer)], max_tokens)
            elif not inner:
                raise ConfigError("it is empty")
        except ConfigError as error:
            raise ConfigError(f"prompt {i} of {len(prompts.prompts)}: {error}") from None


class LanguageRollouts:
    """Prompts, a policy's responses to them and their scores, as Steps: row t is the t-th token, column n a response.

    ``responses`` are answered in an iteration, as ``language`` says how. The ``reference`` is a frozen policy, to which
    KL is counted. ``greedy`` scores the most likely response to each prompt, too (``Steps.greedy``).
    """

    def __init__(
        self,
        reference: TokenPolicy,
        prompts: Prompts,
        reward: Reward,
        language: LanguageConfig,
        *,
        tokenizer: "PreTrainedTokenizerBase | None" = None,
        responses: int = 64,
        greedy: bool = False,
        seed: int = 0,
    ) -> None:
        if responses < 1 or responses % language.responses_per_prompt:
            raise ConfigError(
                f"{responses} responses cannot be {language.responses_per_prompt} to each prompt: let responses be a "
                "multiple of responses_per_prompt"
            )
        self.reference, self.prompts, self.reward, self.tokenizer = reference, prompts, reward, tokenizer
        self.language, self.shaping, self.per_prompt = language, language.shaping, language.responses_per_prompt
        self.num_envs, self.eos, self.max_tokens = responses, language.eos, language.max_tokens
        self.beta, self.greedy = self.shaping.first_beta, greedy
        vocabulary = vocabulary_of(reference.lm)
        if any(token >= vocabulary for token in self.eos):
            raise ConfigError(
                f"eos={max(self.eos)} is no token of the model, which has {vocabulary}, from 0 to {vocabulary - 1}"
            )
        self.single_observation_space, self.single_action_space = Discrete(vocabulary), Discrete(vocabulary)
        if isinstance(prompts, PromptList):
            check_all(prompts, tokenizer, reference.lm, language.max_tokens)
        self.generator = Generator().manual_seed(seed)
        self.scale: tuple[float, float] | None = None if self.shaping.normalise else (0.0, 1.0)
        """Mean and deviation of the reference's scores, once they are known."""
        self.unlike = ""
        """After ``load_state_dict``: why this goes on as something else than what was saved."""
        self.steps, self.episodes, self.metrics = 0, list[Episode](), dict[str, float]()
        self.digest, self.kept_reward = digest(reference.lm), KeptReward(reward)

    @torch.no_grad()
    def collect(self, actor: Actor, *, horizon: int | None = None, episodes: int | None = None) -> tuple[Steps, Tree]:
        """A response to each of the next prompts, scored.

        ``horizon`` bounds their length where it is below ``max_tokens``; ``episodes`` must be as many as there are
        columns, since each response is a whole one.
        """
        if not isinstance(actor, TokenPolicy):
            raise ConfigError(f"{type(actor).__name__} reads no tokens: give a clipper.language.policy.TokenPolicy")
        if episodes not in (None, self.num_envs):
            raise ConfigError(
                f"the algorithm asks for {episodes} episodes, and there are {self.num_envs} responses in an iteration: "
                "let both be the same"
            )
        mean, std = self.units()
        limit, began = min(horizon or self.max_tokens, self.max_tokens), time.perf_counter()
        prompts = self.prompts.take(self.num_envs // self.per_prompt, self.generator)
        batch = self.answer(actor, [x for x in prompts for _ in range(self.per_prompt)], limit, self.generator)
        generated = time.perf_counter()
        score = self.score(batch)
        length, ended = batch.sample.length, batch.sample.ended
        group = torch.arange(len(prompts), device=length.device).repeat_interleave(self.per_prompt)
        rows = int(length.amax())
        context = make_context(batch.sample.tokens, batch.sample.prompt_length, length, group, rows)
        states = context.tokens.gather(0, context.position)
        action, obs = sampled_tokens(context), states[:-1]
        log_prob, reference = (x.act(obs, context)[0].log_prob(action) for x in (actor, self.reference))
        learned = self.shaping.scores(score, length, ended, limit, mean, std)
        log_ratio = log_prob - reference
        parts = rewarded(learned, log_ratio, self.beta, length, ended, self.shaping.cut)
        steps = Steps(
            obs, action, log_prob, parts.reward, parts.terminated, parts.done, parts.mask, context, reference=reference
        )
        if self.greedy:
            best = self.greedy_scores(actor, prompts, limit, mean, std).repeat_interleave(self.per_prompt)
            steps = steps._replace(greedy=best.expand_as(log_prob))
        self.steps += int(parts.mask.sum())
        self.episodes = [Episode(i, *pair) for i, pair in enumerate(zip(score.tolist(), length.tolist(), strict=True))]
        self.watch(steps, score, log_ratio, batch.sample, generated - began)
        return steps, states[-1]

    def watch(
        self, steps: Steps, score: Float[Tensor, " N"], log_ratio: Float[Tensor, "T N"], sample: Sample, seconds: float
    ) -> None:
        """Note what came of the responses, and let β follow their KL."""
        sampled = decisions(sample.length, len(log_ratio))
        per_token = log_ratio.masked_fill(~sampled, 0)
        k1, _, k3 = (x.sum(0).mean() for x in kl_estimates(-per_token))
        self.metrics = {
            "reward/score": float(score.mean()),
            "reward/total": float(steps.reward.sum(0).mean()),
            "kl/reference": float(k1),
            "kl/reference_k3": float(k3),
            "kl/beta": self.beta,
            "response/length": float(sample.length.double().mean()),
            "response/cut": float((~sample.ended).double().mean()),
            "tokens/generated_per_second": float(sample.length.sum()) / max(seconds, 1e-9),
        }
        if self.per_prompt > 1:
            groups = score.view(-1, self.per_prompt)
            self.metrics["group/without_signal"] = float((groups == groups[:, :1]).all(1).double().mean())
        if isinstance(self.shaping.beta, AdaptiveKL):
            self.beta = self.shaping.beta.after(self.beta, self.metrics["kl/reference"], self.num_envs)

    def units(self) -> tuple[float, float]:
        """Mean and deviation by which scores are brought to units, of the reference's responses at the first call."""
        if self.scale is None:
            prompts = self.prompts.take(self.shaping.normalise, self.generator)
            batch = self.answer(self.reference, prompts, self.max_tokens, self.generator)
            self.scale = moments_of_scores(self.score(batch))
        return self.scale

    def answer(
        self, policy: TokenPolicy, prompts: Sequence[Prompt], limit: int, generator: Generator | None
    ) -> Responses:
        """A response to each prompt; without a generator the likeliest tokens."""
        each = {id(prompt): prompt for prompt in prompts}  # those of a group are one object
        known = {name: tokens_of(prompt, self.tokenizer) for name, prompt in each.items()}
        tokens = [known[id(prompt)] for prompt in prompts]
        device = next(policy.parameters()).device
        uniforms = None if generator is None else torch.rand(limit, len(tokens), generator=generator).to(device)
        sample = generate(policy.lm, tokens, uniforms, limit, self.eos, policy.temperature)
        found, tokenizer = sample.responses(), self.tokenizer
        texts: list[Response] = [x if tokenizer is None else str(tokenizer.decode(x)) for x in found]
        return Responses(list(prompts), texts, sample)

    def greedy_scores(
        self, policy: TokenPolicy, prompts: Sequence[Prompt], limit: int, mean: float, std: float
    ) -> Float[Tensor, " prompts"]:
        """Of the most likely response to each prompt, as they are learned from."""
        batch = self.answer(policy, prompts, limit, None)
        return self.shaping.scores(self.score(batch), batch.sample.length, batch.sample.ended, limit, mean, std)

    def generate(
        self, policy: TokenPolicy, prompts: Sequence[Prompt], *, seed: int = 0, greedy: bool = False
    ) -> Responses:
        """A policy's responses, apart from training; ``greedy`` takes the likeliest tokens."""
        return self.answer(policy, prompts, self.max_tokens, None if greedy else Generator().manual_seed(seed))

    def score(self, batch: Responses) -> Float[Tensor, " N"]:
        """What the reward gives, a number for each response; raises where it is none."""
        given, count = self.reward(list(batch.prompts), list(batch.responses)), len(batch.responses)
        try:
            found = torch.as_tensor(given, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"the reward gave {shown(given)}: return a number for each response") from error
        if found.shape != (count,):
            raise ConfigError(
                f"the reward gave an array of shape {list(found.shape)} for {count} responses: return a number for each"
            )
        if not found.isfinite().all():
            worst = int((~found.isfinite()).nonzero()[0])
            raise NonFiniteError(f"the reward of response {worst}, {shown(batch.responses[worst])}, is not finite")
        return found.detach().to(batch.sample.length.device)

    def state_dict(self, episodes: bool = True) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Generator, prompts' place, β, the scores' units, the reward's state, and by what the reference and the
        reward are known again.
        """
        tensors, values = self.prompts.state_dict()
        own, known = self.kept_reward.state_dict()
        return {"generator": self.generator.get_state(), **tensors, **own}, {
            "steps": self.steps,
            "beta": self.beta,
            "scale": None if self.scale is None else list(self.scale),
            "reference": self.digest,
            **known,
            **values,
        }

    def load_state_dict(self, tensors: dict[str, Tensor], values: Mapping[str, object], actor: Actor) -> bool:
        """Go back to such a state; raises ``ConfigError`` where the reference or the prompts are others, and notes in
        ``unlike`` where the reward is, or a function of prompts.
        """
        try:
            if value_of("reference", str, values) != self.digest:
                raise ConfigError(
                    "this run began with a model of other weights, to which its KL is counted: hand over the one "
                    "that it began with"
                )
            self.prompts.load_state_dict(tensors, values)
            self.generator.set_state(tensors["generator"])
            self.steps, self.beta = value_of("steps", int, values), value_of("beta", float, values)
            scale = values["scale"]
            self.scale = None if scale is None else read_scale(scale)
            other = self.kept_reward.load_state_dict(tensors, values)
            self.unlike = "; ".join(filter(None, [other, str(getattr(self.prompts, "unlike", ""))]))
        except ClipperError:
            raise
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise CorruptCheckpointError(f"the checkpoint does not fit these prompts: {error}") from error
        return True

    def close(self) -> None:
        """Nothing is open."""


def read_scale(given: object) -> tuple[float, float]:
    """Mean and deviation out of a file."""
    if isinstance(given, list) and len(given) == 2 and all(isinstance(x, float) for x in given) and given[1] > 0:
        return given[0], given[1]
    raise ValueError(f"scale is {shown(given)}, not a mean and a deviation")
