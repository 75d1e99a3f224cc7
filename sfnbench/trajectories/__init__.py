"""S trajectories at once."""
