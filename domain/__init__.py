"""What the jobs are and where they come from.

Nothing here knows that actors exist: a fetcher is a function that returns a job
or None, a processor is one that takes a job and returns a result.
"""
