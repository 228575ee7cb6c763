"""Pictures of runs, and a policy at play."""
