"""The verbs of the command line: one module each, each with ``run(arguments)``."""
