"""Problems, optimizers, finders and metrics by name."""
