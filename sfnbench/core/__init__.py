"""The vocabulary: problems, optimizers, finders, and the oracle between them."""
