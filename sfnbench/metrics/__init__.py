"""Metrics: numbers measured at a point."""
