"""What is there as Stable-Baselines 2 had it."""
