"""What came of runs: stored, compared, printed."""
