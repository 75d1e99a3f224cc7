"""Figures of critical points, a file each: what it needs of a run, what it draws of all."""
