"""One module for each peer: its task, and ``produce``, which enqueues jobs."""
