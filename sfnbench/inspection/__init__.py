"""Is this a saddle? One point of a network looked at: slope, curvature, certificate."""
