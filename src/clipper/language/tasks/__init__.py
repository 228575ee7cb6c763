"""Tasks for language models whose answers are known."""

from clipper.language.tasks.sort import Sort

TASKS = {"sort": Sort}
"""By name, tasks that bring their own model, prompts and reward."""
