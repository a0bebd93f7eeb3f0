"""Every rule, as plain objects: no process, socket, clock, randomness or logger.

Time and chance enter as arguments; what is to be sent, kept and told comes
back as values. See ``messages`` for the protocol and ``facts`` for what a rule
reports.
"""
