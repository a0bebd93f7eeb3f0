"""The root: starts the stages, restarts them, and lets people look in and steer."""
