"""Optimizers of other packages, run by sfnbench and by hand."""
