"""A run on prompts is a run: rows, checkpoints, exact resumption; and its mistakes are said."""

import ast
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from small_models import EOS, config_of

import clipper
from clipper.errors import ConfigError, NonFiniteError
from clipper.language.models import load_model
from clipper.language.shaping import AdaptiveKL, Shaping
from clipper.language.train import train_language
from clipper.runs.config_file import read_config

PROMPTS = [[1, 2], [3], [4, 5, 6], [7], [8, 1]]


def ones(prompts: Sequence[object], responses: Sequence[Sequence[int]]) -> list[float]:
    """How many tokens of a response are below 4."""
    return [float(sum(token < 4 for token in response)) for response in responses]


def run_of(algorithm: object, **options: Any) -> clipper.Run:
    given = {
        "critic": "shared", "responses": 8, "max_tokens": 5, "eos": EOS, "seed": 2, "total_steps": 60,
        "reward": ones, "prompts": PROMPTS, "model": config_of("llama"), "micro_batch": 3,
        "shaping": Shaping(beta=AdaptiveKL(0.1, horizon=100), normalise=16),
    }  # fmt: skip
    return train_language(algorithm=algorithm, **(given | options))  # pyright: ignore[reportArgumentType]


PPO = clipper.PPO(gamma=1.0, epochs=2, minibatches=2, learning_rate=1e-2)
ALGORITHMS = [
    (PPO, "shared"),
    (clipper.PPOSeparate(gamma=1.0, epochs=2, value_epochs=2, minibatches=2, learning_rate=1e-2), "own"),
    (clipper.Reinforce(gamma=1.0, episodes=8), "shared"),
    (clipper.language_presets.remax(learning_rate=1e-2), None),  # its baseline is a response of its own
]
TIMES = ("time/seconds", "time/steps_per_second", "tokens/generated_per_second")


def rows_of(run: clipper.Run) -> list[dict[str, object]]:
    return [{name: x for name, x in row.items() if name not in TIMES} for row in run.history]


@pytest.mark.parametrize(("algorithm", "critic"), ALGORITHMS)
def test_a_resumed_run_is_the_uninterrupted_one(algorithm: object, critic: str | None, tmp_path: Path) -> None:
    shaping = {} if critic else {"shaping": Shaping(beta=0.0)}  # its loss has the KL
    whole = run_of(algorithm, critic=critic, run_dir=tmp_path / "whole", **shaping)
    assert whole.iteration > 1

    def stop(run: clipper.Run) -> bool:
        return run.iteration < 1

    run_of(algorithm, critic=critic, run_dir=tmp_path / "parts", callback=stop, **shaping)
    # What is not named is as it was: settings, seed, and all.
    resumed = train_language(config_of("llama"), PROMPTS, ones, resume=tmp_path / "parts")
    assert resumed.exact
    assert resumed.config.language == whole.config.language
    assert rows_of(resumed) == rows_of(whole)
    assert torch.equal(resumed.learner.parameters, whole.learner.parameters)
    assert resumed.rollouts.state_dict()[1] == whole.rollouts.state_dict()[1]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has begun."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    run_of(PPO, run_dir=folder, total_steps=1, prompts=[[1, 2], [3]], responses=4)
    return folder


def again(folder: Path, tmp_path: Path, **options: Any) -> clipper.Run:
    """A copy of it, resumed for an iteration more."""
    shutil.copytree(folder, tmp_path / "copy")
    given = {"model": config_of("llama"), "prompts": [[1, 2], [3]], "reward": ones}
    return train_language(**(given | options), resume=tmp_path / "copy")  # pyright: ignore[reportArgumentType]


CHANGES: list[dict[str, Any]] = [
    {"shaping": Shaping(beta=0.2)},
    {"max_tokens": 3},
    {"temperature": 0.5},
    {"eos": 4},
    {"responses_per_prompt": 2},
    {"reward": lambda prompts, responses: [0.0] * len(responses)},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_changed_settings_are_used_recorded_and_no_longer_exact(
    change: dict[str, Any], begun: Path, tmp_path: Path
) -> None:
    before = read_config(begun).language
    run = again(begun, tmp_path, total_steps=30, **change)
    assert not run.exact
    recorded = read_config(tmp_path / "copy").language
    assert recorded == run.config.language == run.rollouts.language  # pyright: ignore[reportAttributeAccessIssue]
    assert recorded is not None
    assert before is not None
    for name, x in change.items():
        now = getattr(recorded, name)
        assert now != getattr(before, name)
        assert now in (x, (x,)) or name == "reward"
    if "max_tokens" in change:
        assert run.history[-1]["response/length"] <= 3  # pyright: ignore[reportOptionalOperand]
        assert run.config.algorithm.horizon == 3  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"responses": 6}, "this run has responses=4"),
        ({"critic": "own"}, "this run has critic='shared'"),
        ({"prompts": [[1, 2], [4]]}, "other prompts than the 2"),
        ({"prompts": [[1, 2]]}, "2 prompts, and 1 were given"),
        ({"algorithm": clipper.GRPO()}, "algorithm is PPO"),
    ],
)
def test_what_a_state_fits_cannot_change(change: dict[str, Any], words: str, begun: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        again(begun, tmp_path, **change)


def test_a_line_that_begins_or_goes_on(begun: Path, tmp_path: Path) -> None:
    """``resume="auto"``."""
    options: dict[str, Any] = {"run_dir": tmp_path / "run", "resume": "auto", "total_steps": 30}
    assert run_of(PPO, **options).iteration == 1
    assert run_of(PPO, **(options | {"total_steps": 60})).iteration == 2


def test_a_folder_holds_no_pickle(tmp_path: Path) -> None:
    run_of(PPO, run_dir=tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["algorithm"]["horizon"] == 5
    for path in tmp_path.rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            assert len(list(file.keys())) > 5
    assert {x.suffix for x in tmp_path.iterdir()} <= {".json", ".jsonl", ".safetensors", ".png", ".svg", ""}


def test_rows_tell_what_the_responses_were() -> None:
    seen: list[tuple[list[Any], list[float]]] = []

    def reward(prompts: Sequence[object], responses: Sequence[Sequence[int]]) -> list[float]:
        seen.append((list(zip(prompts, responses, strict=True)), ones(prompts, responses)))
        return seen[-1][1]

    run = run_of(PPO, reward=reward, shaping=Shaping(beta=0.3), prompts=PROMPTS, total_steps=1, temperature=0.5)
    (row,), ((pairs, scores),) = run.history, seen
    reference = load_model(config_of("llama"), 2).lm.eval()
    assert row["reward/score"] == pytest.approx(sum(scores) / 8)
    assert row["episode/return"] == pytest.approx(sum(scores) / 8)
    assert len({tuple(prompt) for prompt, _ in pairs}) == 5, "8 prompts are a pass over 5 and more"
    lengths = [min(len(response) + 1, 5) for _, response in pairs]
    assert row["response/length"] == pytest.approx(sum(lengths) / 8)
    assert row["response/cut"] == pytest.approx(sum(len(response) == 5 for _, response in pairs) / 8)
    assert row["steps"] == sum(lengths)
    assert row["kl/reference"] == pytest.approx(0, abs=1e-5), "the policy was the reference still"
    assert row["kl/beta"] == 0.3
    # Now that it has learned: the KL of fresh responses, token by token with the models themselves.
    rollouts: Any = run.rollouts
    seen.clear()
    steps, _ = rollouts.collect(run.policy)
    total = 0.0
    for n, (prompt, response) in enumerate(seen[0][0]):
        text = torch.tensor([[*prompt, *response, *[EOS] * (len(response) < 5)]])
        rows = slice(len(prompt) - 1, -1)
        with torch.no_grad():
            log_p, log_ref = (
                (lm(input_ids=text).logits[0, rows] / 0.5).log_softmax(-1).gather(1, text[0, len(prompt) :, None])[:, 0]
                for lm in (run.policy.lm, reference)
            )
        total += float((log_p - log_ref).sum())
        expected = -0.3 * (log_p - log_ref)
        expected[-1] += seen[0][1][n]
        assert torch.allclose(steps.reward[: len(expected), n], expected, atol=1e-5)
    assert rollouts.metrics["kl/reference"] == pytest.approx(total / 8, abs=1e-5)
    assert abs(total) > 1e-2


def test_beta_follows_the_kl_and_scores_have_the_units_of_the_reference() -> None:
    run = run_of(PPO)
    betas: list[Any] = [row["kl/beta"] for row in run.history]
    for row, before, after in zip(run.history, betas, betas[1:], strict=False):
        kl = row["kl/reference"]
        assert kl is not None
        error = min(max(kl / 6 - 1, -0.2), 0.2)
        assert after == pytest.approx(before * (1 + error * 8 / 100))
    reference: Any = run.rollouts
    mean, std = reference.scale
    assert 0 < mean < 5
    assert 0 < std < 5


def test_a_penalty_of_length_and_a_score_of_cut_responses() -> None:
    score, length = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4, 8, 10])
    ended = torch.tensor([True, True, False])
    shaping = Shaping(overlong=4, cut_score=-1.0)
    assert shaping.scores(score, length, ended, 10, 0.0, 2.0).tolist() == [0.5, 0.5, -2.0]


def test_a_folder_with_a_model_and_a_file_of_prompts(tmp_path: Path) -> None:
    load_model(config_of("tied"), 3).lm.save_pretrained(tmp_path / "model")
    lines = ['{"prompt": [1, 2], "answer": 7}', "", "[3]"]
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    seen = []

    def reward(prompts: Sequence[object], responses: Sequence[object]) -> list[float]:
        seen.extend(prompts)
        return [0.0] * len(prompts)

    run_of(PPO, model=tmp_path / "model", prompts=tmp_path / "p.jsonl", reward=reward, total_steps=1, shaping=Shaping())
    assert {"prompt": [1, 2], "answer": 7} in seen
    assert [3] in seen


def test_the_model_that_was_given_stays_as_it_is() -> None:
    lm = load_model(config_of("llama"), 3).lm
    before = {name: x.clone() for name, x in lm.state_dict().items()}
    run = run_of(PPO, model=lm)
    assert all(torch.equal(x, before[name]) for name, x in lm.state_dict().items())
    assert not torch.equal(run.policy.lm.lm_head.weight, lm.lm_head.weight)


def test_responses_of_a_run_apart_from_training() -> None:
    run = run_of(PPO, shaping=Shaping())
    before = run.rollouts.state_dict()[0]["generator"]
    batch = run.generate([[1, 2], [3]], greedy=True)
    assert len(batch.responses) == 2
    assert batch.responses == run.generate([[1, 2], [3]], greedy=True).responses
    assert run.score(batch).tolist() == ones(*batch[:2])
    assert torch.equal(run.rollouts.state_dict()[0]["generator"], before)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reward": lambda prompts, responses: [1.0]}, "for 16 responses"),
        ({"reward": lambda prompts, responses: ["a"] * 16}, "return a number for each"),
        ({"prompts": []}, "no prompt"),
        ({"prompts": ["a text"]}, "without a tokenizer"),
        ({"eos": None}, "no token ends"),
        ({"prompts": [[1]] * 40 + [[]]}, "prompt 40 of 41: a prompt has no token"),
        ({"prompts": [[1], [99]]}, "prompt 1 of 2: a prompt has tokens"),
        ({"prompts": [[1], [True]]}, "prompt 1 of 2: .* is no prompt"),
        ({"algorithm": clipper.GRPO(), "critic": None, "shaping": None}, "GRPO compares responses to one prompt"),
        ({"eos": 99}, "eos=99 is no token of the model"),
        ({"max_token": 4}, "Did you mean.*max_tokens"),
        ({"epochs": 4}, r"train_language has no argument 'epochs'.*PPO\(epochs="),
        ({"top_k": 50}, "top_k draws from another"),
        ({"responses": 7, "responses_per_prompt": 2}, "multiple"),
        ({"model": "nowhere"}, r"no config\.json"),
        ({"model": 3}, "no language model"),
        ({"prompts": lambda count, generator: [[1]]}, "were asked for"),
        ({"reward": lambda prompts, responses: [1.0] * 8, "shaping": Shaping(normalise=8)}, "leave out normalise"),
    ],
)
def test_mistakes_are_said(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run_of(**({"algorithm": PPO} | options))


def test_other_mistakes_are_said(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match="reward of response 0"):
        run_of(PPO, reward=lambda prompts, responses: [float("nan")] * 8, shaping=Shaping())
    run_of(PPO, run_dir=tmp_path, total_steps=1)
    with pytest.raises(ConfigError, match="model of other weights"):
        run_of(None, resume=tmp_path, model=load_model(config_of("llama"), 8).lm)
    with pytest.raises(ConfigError, match="exact"):
        run_of(clipper.PPO(kl=clipper.kl.Exact()))
    with pytest.raises(ConfigError, match="generate"):
        clipper.train("CartPole-v1", total_steps=100, engine="torch").generate([[1]])


def test_clipper_itself_does_not_import_transformers() -> None:
    """It takes seconds, so functions import it, and blocks that run for the type checker alone."""
    files = list(Path(clipper.__file__).parent.rglob("*.py"))
    assert len(files) > 100
    for path in files:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "transformers" not in ast.unparse(node), path


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A curve takes longer than the runs here."""
    monkeypatch.setattr("clipper.runs.train.plot_run", lambda run: None)
