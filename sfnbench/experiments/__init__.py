"""What a run does: a folder each."""
