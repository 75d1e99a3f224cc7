"""The optimizers of the talk, one file each; everything beyond it is a plugin."""
