"""What lies on disk: checkpoints, files written whole or not at all, JSON with bounds."""
