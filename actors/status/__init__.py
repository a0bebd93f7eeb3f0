"""How a system is, for those who look in: reasons, counters, and the log of jobs."""
