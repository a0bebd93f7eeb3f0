"""Task queues on a Redis server at the same work, for ``scripts/bench --peers``.

Each has an environment of its own, made in a cache directory. The programs in
``apps`` run there: they import nothing of this project but ``benchmarks.jobs`` and
``benchmarks.counts``, which need only the standard library.
"""
