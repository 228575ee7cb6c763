"""What Stable-Baselines3 keeps in ``stable_baselines3.common``, as far as programs need it."""
