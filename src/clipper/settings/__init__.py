"""A run's settings as values: their fields, JSON and flags, recipes, other libraries' presets."""
