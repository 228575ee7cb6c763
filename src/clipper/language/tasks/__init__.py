"""Tasks for language models whose answers are known."""
