"""Linux and the process: the ground floor, which imports nothing of ours."""
