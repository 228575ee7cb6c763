"""Language models: prompts in, responses out, and the same algorithms between."""
