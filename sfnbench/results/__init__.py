"""Results of runs: stored, compared, printed."""
