"""Where a fetcher's jobs are kept: in a file, or in memory only."""
