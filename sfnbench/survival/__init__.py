"""Statistics of escapes that may never come. No torch."""
