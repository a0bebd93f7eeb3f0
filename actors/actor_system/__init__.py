"""The actors' system: the only room that knows Thespian."""
