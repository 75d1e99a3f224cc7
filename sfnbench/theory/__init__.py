"""What theory says of landscapes and of escapes. No torch."""
