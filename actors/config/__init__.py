"""What to run: options, their values, and where each value came from."""
