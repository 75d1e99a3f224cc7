"""Figures and pages for people to look at. Nothing here imports torch."""
