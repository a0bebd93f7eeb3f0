"""Other machines: those that have joined, and the line to each."""
