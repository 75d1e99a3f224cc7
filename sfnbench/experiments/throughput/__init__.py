"""Throughput: steps, examples and products a second."""
