"""What people look at: tables and progress on a terminal. Nothing here imports torch."""
