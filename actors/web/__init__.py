"""The web page, health checks and metrics, in a process of their own.

It knows the system through the control socket and the journal's file only, so
nothing that a browser does can hold up an actor.
"""
