"""The edges: Thespian, processes, threads, files, sockets, logs, configuration."""
