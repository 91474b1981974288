"""What a run leaves in its folder, read as plain data: nothing here imports torch."""
