"""Fields by their name: what other libraries call them, and which was meant where a name is unknown."""

import difflib
from collections.abc import Mapping, Sequence

from clipper.errors import UnknownFieldError

OTHER_NAMES: Mapping[str, str] = {
    "actor_lr": "learning_rate", "batch_size": "minibatches", "clip_coef": "clip", "clip_eps": "clip",
    "clip_param": "clip", "clip_range": "clip", "clip_ratio": "clip", "clip_range_vf": "value_loss",
    "critic_lr": "value_learning_rate", "discount": "gamma", "ent_coef": "entropy_coef",
    "entropy_coeff": "entropy_coef", "env_id": "env", "env_name": "env", "environment": "env", "epsilon_clip": "clip",
    "eps_clip": "clip", "gae_lambda": "lam",
    "grad_clip": "max_grad_norm", "gym_id": "env",
    "k_epochs": "epochs", "lambda_": "lam", "lr": "learning_rate",
    "learning_rate": "value_learning_rate", "max_timesteps": "total_steps",
    "mini_batch_size": "minibatches", "minibatch_size": "minibatches",
    "n_envs": "num_envs", "n_epochs": "epochs", "n_steps": "horizon",
    "net_arch": "hidden",
    "num_epochs": "epochs", "num_minibatches": "minibatches", "num_sgd_iter": "epochs", "num_steps": "horizon",
    "pi_lr": "learning_rate", "rollout_length": "horizon", "rollout_steps": "horizon", "steps_per_epoch": "horizon",
    "total_timesteps": "total_steps", "train_pi_iters": "epochs",
    "train_v_iters": "value_epochs", "update_epochs": "epochs", "value_lr": "value_learning_rate",
    "vf_coef": "value_coef", "vf_lr": "value_learning_rate", "activation_fn": "activation", "hidden_sizes": "hidden",
    "buffer_size": "capacity", "replay_size": "capacity", "start_steps": "learning_starts",
    "policy_freq": "policy_delay", "policy_frequency": "policy_delay", "target_policy_noise": "target_noise",
    "target_noise_clip": "noise_clip",
}  # fmt: skip
"""What other libraries call a field → what it is called here."""
GATHERED: Mapping[str, tuple[str, str, str]] = {
    **dict.fromkeys(
        ("standardise", "correction", "standardise_over", "norm_adv", "normalize_advantage"),
        ("advantages", "clipper.advantages.Standardised(over, correction)", "standardised(over,correction)"),
    ),
    **dict.fromkeys(
        ("scale_rewards", "clip_rewards", "norm_reward"), ("rewards", "clipper.rewards.Scaled(bound)", "scaled(bound)")
    ),
    "normalise_rewards": ("rewards", "clipper.rewards.Normalised(bound)", "normalised(bound)"),
    **dict.fromkeys(("target_kl", "kl_stop"), ("stop", "clipper.kl.KLStop(target, at)", "klstop(target,at)")),
    "exact_kl": ("kl", "clipper.kl.Exact()", "exact"),
    "kl_estimate": ("kl", "clipper.kl.Sampled(estimate)", "sampled(estimate)"),
    "target_critic": ("critic_target", "clipper.critic_targets.TDLambda(lam, lag)", "tdlambda(lam,lag)"),
    "ratio": ("parts", "clipper.action_parts.PerPart()", "per_part"),
    "entropy_coefs": ("parts", "clipper.action_parts.Joint(entropy)", "joint(entropy)"),
    "adam_eps": ("optimizer", "clipper.optimizers.Adam(eps)", "adam(eps)"),
    "weight_decay": ("optimizer", "clipper.optimizers.Adam(weight_decay=…)", "adam(weight_decay=…)"),
}  # fmt: skip
"""What is a part of a value here: the field, and the value in Python and on the command line."""
PARTS = {"batch_size", "mini_batch_size", "minibatch_size"}
"""Names of sizes, where a field here counts parts."""


def check_names(owner: str, given: Mapping[str, object], known: Sequence[str]) -> None:
    """Raise ``UnknownFieldError`` for a keyword that is no field, with the one that was probably meant."""
    for name in given:
        if name not in known:
            raise UnknownFieldError(f"{owner} has no field {name!r}.{hint_for(name, known)}")


def hint_for(name: str, known: Sequence[str]) -> str:
    """The field that was probably meant."""
    word = name.lower().replace("-", "_")
    other = OTHER_NAMES.get(word)
    if other in known:
        return f" Here it is {other}{in_parts(word)}."
    if word in GATHERED and GATHERED[word][0] in known:
        return f" Here it is {GATHERED[word][0]}={GATHERED[word][1]}."
    near = difflib.get_close_matches(word, known, n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else f" There are: {', '.join(known)}."


def in_parts(word: str) -> str:
    """What is to be said of a size, where parts are counted here."""
    return f", the number of parts instead of their size: num_envs × horizon / {word}" if word in PARTS else ""
