"""Acting in environments: segments for an update, whole episodes for an evaluation."""
