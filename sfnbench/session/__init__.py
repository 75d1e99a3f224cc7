"""From a plan to a store in one call."""
