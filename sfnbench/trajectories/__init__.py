"""S trajectories at once, and the way back into torch."""
