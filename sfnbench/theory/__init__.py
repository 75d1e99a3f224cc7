"""Theory of landscapes and of escapes. No torch."""
