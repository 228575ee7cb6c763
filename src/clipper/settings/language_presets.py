"""Published algorithms for language models as settings of ``GRPO``, each a function; its arguments are GRPO's fields.

Every one wants several responses to a prompt but REINFORCE++ and ReMax. Rewards must be scores alone: the KL to the
reference is here. Step sizes are those of large models; a small one that is trained from the start wants 1e-4 to 1e-3.
"""

import dataclasses
from collections.abc import Callable

from clipper.algorithms import GRPO
from clipper.learning.baselines import BatchStandardised, GreedyResponse, GroupMean, GroupStandardised, LeaveOneOut
from clipper.learning.objectives import CISPO
from clipper.learning.reductions import ConstantLength, SequenceMean, SequenceSum, TokenMean
from clipper.learning.reference_kl import InLoss, InReward


def grpo(**fields: object) -> GRPO:
    """GRPO as published (Shao et al. 2024, arXiv:2402.03300): its optimum is not that of E[r] − β KL(π ‖ π_ref)."""
    return dataclasses.replace(GRPO(), **fields)


def rloo(**fields: object) -> GRPO:
    """RLOO (Ahmadian et al. 2024, arXiv:2402.14740): REINFORCE, the KL in the reward, the others as the baseline."""
    algorithm = GRPO(baseline=LeaveOneOut(), reduction=SequenceSum(), reference_kl=InReward(0.05))
    return dataclasses.replace(algorithm, **fields)


def dr_grpo(**fields: object) -> GRPO:
    """Dr. GRPO (Liu et al. 2025, arXiv:2503.20783): no deviation, a constant length (``horizon``), no KL."""
    algorithm = dataclasses.replace(GRPO(baseline=GroupMean(), reference_kl=None), **fields)
    given = {} if "reduction" in fields else {"reduction": ConstantLength(algorithm.horizon)}
    return dataclasses.replace(algorithm, **given)


def dapo(**fields: object) -> GRPO:
    """DAPO (Yu et al. 2025, arXiv:2503.14476): clip-higher, the mean over tokens, no KL. Its overlong penalty is the
    reward's matter, and groups without differences are not sampled anew.
    """
    algorithm = GRPO(clip=(0.2, 0.28), reduction=TokenMean(), reference_kl=None, minibatches=16)
    return dataclasses.replace(algorithm, **fields)


def gspo(**fields: object) -> GRPO:
    """GSPO (Zheng et al. 2025, arXiv:2507.18071): one ratio for a response, and bounds of its size; no KL."""
    algorithm = GRPO(
        baseline=GroupStandardised(), ratio="sequence", clip=(3e-4, 4e-4), reduction=SequenceMean(), reference_kl=None,
        minibatches=4,
    )  # fmt: skip
    return dataclasses.replace(algorithm, **fields)


def cispo(**fields: object) -> GRPO:
    """CISPO (MiniMax 2025, arXiv:2506.13585): the weight is clipped, not the loss; the mean over tokens, no KL."""
    algorithm = GRPO(objective=CISPO(), reduction=TokenMean(), reference_kl=None, minibatches=16)
    return dataclasses.replace(algorithm, **fields)


def reinforce_pp(**fields: object) -> GRPO:
    """REINFORCE++ (Hu et al. 2025, arXiv:2501.03262): rewards to go in units of the batch, the KL in each token's."""
    algorithm = GRPO(baseline=BatchStandardised(), reduction=TokenMean(), reference_kl=InReward(0.01))
    return dataclasses.replace(algorithm, **fields)


def reinforce_pp_baseline(**fields: object) -> GRPO:
    """Its variant with the group's mean subtracted first, and the KL in the loss with k2's gradient."""
    algorithm = GRPO(baseline=BatchStandardised(centred=True), reduction=TokenMean(), reference_kl=InLoss(0.01, "k2"))
    return dataclasses.replace(algorithm, **fields)


def remax(**fields: object) -> GRPO:
    """ReMax (Li et al. 2023, arXiv:2310.10505): the reward of the most likely response as the baseline."""
    algorithm = GRPO(baseline=GreedyResponse(), reduction=SequenceSum(), reference_kl=InReward(0.05))
    return dataclasses.replace(algorithm, **fields)


ALL: tuple[Callable[..., GRPO], ...] = (
    grpo, rloo, dr_grpo, dapo, gspo, cispo, reinforce_pp, reinforce_pp_baseline, remax,
)  # fmt: skip
"""Every one of them."""
