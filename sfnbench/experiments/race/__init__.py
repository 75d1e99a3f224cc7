"""The race: who leaves, how fast, and where each ends."""
