"""What changes during a run, and how: the learner, its targets, what is minimised, steps."""
