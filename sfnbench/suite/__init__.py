"""Suites: YAML in, a checked `Suite` out, with every mistake said at once and where it stands."""
