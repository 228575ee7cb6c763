"""How actions, observations and masks of a space lie in arrays. Empty, so that workers need not load torch."""
