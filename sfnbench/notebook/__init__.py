"""Results as objects, for scripts and notebooks."""
