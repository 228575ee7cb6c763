"""A module per page of the walk, each with three exercises."""
