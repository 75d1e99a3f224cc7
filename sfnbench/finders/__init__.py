"""Finders of critical points: one file each, found by being there."""
