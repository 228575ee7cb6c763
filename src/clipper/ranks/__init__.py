"""Training in several processes at once, which torchrun starts: each collects some columns, all learn from all."""
