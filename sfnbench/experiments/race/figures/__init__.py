"""Figures of races, a file each: what it needs of a run, what it draws of all."""
