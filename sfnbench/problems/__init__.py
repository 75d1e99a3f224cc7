"""The problems of the talk and the paper: one file each, found by being there."""
