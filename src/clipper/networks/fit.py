"""Was a policy made for an environment's spaces?"""

import gymnasium
from gymnasium.spaces import Dict

from clipper.networks.actor_critic import ActorCritic
from clipper.spaces.space_json import check_alike


def check_spaces(
    policy: ActorCritic, observation_space: gymnasium.Space, action_space: gymnasium.Space, critic: bool = False
) -> None:
    """Raise ``SpaceMismatchError`` where the policy was made for other spaces, with what differs.

    Of an observation only what the actor sees counts, or where asked what the ``critic`` sees, too.
    """
    only_critic = policy.options.encoder.critic_only if policy.options is not None else ()
    made_for, here = {"observation": policy.encoder.space}, {"observation": without(observation_space, only_critic)}
    if critic and policy.critic_encoder is not None:
        made_for["critic's observation"], here["critic's observation"] = policy.critic_encoder.space, observation_space
    here = {kind: without(space, (policy.mask_key,)) for kind, space in here.items()}
    if policy.action_space is not None:
        made_for["action"], here["action"] = policy.action_space, action_space
    check_alike(made_for, here)


def without(space: gymnasium.Space, keys: tuple[str, ...]) -> gymnasium.Space:
    """A Dict without some of its keys; any other space as it is."""
    if not isinstance(space, Dict) or not set(keys) & set(space):
        return space
    return Dict({key: part for key, part in space.items() if key not in keys}, sort_keys=False)
