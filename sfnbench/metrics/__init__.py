"""What is measured at a point."""
