"""TRL's GRPO, or its PPO up to 1.12, on sorting digits, as ``language_beside_trl.py`` compares them."""

import importlib
import os
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
import torch
from datasets import Dataset  # pyright: ignore[reportMissingImports]
from language_side import END, Watch, as_text, prompts, reward_network, sorted_right
from measure import begin
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForSequenceClassification, TrainerCallback


def grpo(work: dict[str, Any], watch: Watch, shared: dict[str, Any]) -> tuple[Any, ...]:
    """Its trainer, one step an update; the reference is read from the model's folder."""
    trl = importlib.import_module("trl")

    def reward(prompts: list[str], completions: list[str], **_: object) -> list[float]:
        found = [sorted_right(*pair) for pair in zip(prompts, completions, strict=True)]
        watch.scores.append(sum(found) / len(found))
        return found

    class Timed(trl.GRPOTrainer):
        _generate = watch.timed("generate", trl.GRPOTrainer._generate)
        _generate_and_score_completions = watch.timed("score", trl.GRPOTrainer._generate_and_score_completions)

    options = trl.GRPOConfig(
        beta=work["beta"], num_generations=work["per_prompt"], max_completion_length=work["limit"], loss_type="grpo",
        steps_per_generation=1, max_steps=work["updates"], num_iterations=1, max_grad_norm=1.0, **shared,
    )  # fmt: skip
    rows = Dataset.from_dict({"prompt": [as_text(x) for x in prompts(work)]})
    tokenizer = AutoTokenizer.from_pretrained(work["folder"], padding_side="left")
    return Timed, {
        "model": work["folder"], "reward_funcs": reward, "args": options, "train_dataset": rows,
        "processing_class": tokenizer,
    }  # fmt: skip


def ppo(work: dict[str, Any], watch: Watch, shared: dict[str, Any]) -> tuple[Any, ...]:
    """Its trainer, all responses in one part, with a value network that begins as a copy of the policy's trunk."""
    module: Any = importlib.import_module("trl.experimental.ppo.ppo_trainer")
    config = importlib.import_module("trl.experimental.ppo").PPOConfig
    policy, reference = (AutoModelForCausalLM.from_pretrained(work["folder"]) for _ in range(2))
    critic = LlamaForSequenceClassification.from_pretrained(work["folder"], num_labels=1)
    torch.nn.init.zeros_(critic.score.weight)
    network = reward_network(work["folder"])
    scored, forward = module.get_reward, module.forward

    def get_reward(model: Any, *args: Any) -> Any:
        found = scored(model, *args)
        if model is network:
            watch.scores.append(float(found[1].mean()))
        return found

    frozen = watch.timed("score", forward)

    def either(*args: Any) -> Any:
        return (forward if torch.is_grad_enabled() else frozen)(*args)

    module.forward = either
    module.get_reward = watch.timed("score", get_reward)
    module.batch_generation = watch.timed("generate", module.batch_generation)
    options = config(
        kl_coef=work["beta"], num_ppo_epochs=1, num_mini_batches=1, response_length=work["limit"], stop_token_id=END,
        total_episodes=work["updates"] * work["responses"], local_rollout_forward_batch_size=work["responses"],
        temperature=1.0, num_sample_generations=0, gamma=1.0, lam=0.95, vf_coef=0.1, cliprange_value=0.2, **shared,
    )  # fmt: skip
    rows = Dataset.from_dict({"input_ids": prompts(work)})
    return module.PPOTrainer, {
        "model": policy, "ref_model": reference, "reward_model": network, "value_model": critic, "args": options,
        "train_dataset": rows, "eval_dataset": rows.select([0] * 8),
        "processing_class": AutoTokenizer.from_pretrained(work["folder"], padding_side="left"),
    }  # fmt: skip


def main() -> None:
    """Train, and report the updates after the warm-up."""
    work = begin()
    watch = Watch(work)
    shared = {
        "output_dir": "trl", "per_device_train_batch_size": work["responses"], "gradient_accumulation_steps": 1,
        "learning_rate": work["learning_rate"], "lr_scheduler_type": "constant", "gradient_checkpointing": False,
        "use_cpu": True, "bf16": False, "report_to": "none", "save_strategy": "no", "logging_steps": 10**6,
        "disable_tqdm": True, "seed": work["seed"],
    }  # fmt: skip

    class Count(TrainerCallback):
        def on_step_end(self, *_: object, **__: object) -> None:
            watch.updated()

    trainer, given = (grpo if work["algorithm"] == "grpo" else ppo)(work, watch, shared)
    trainer(callbacks=[Count()], **given).train()
    watch.report("trl")


if __name__ == "__main__":
    main()
