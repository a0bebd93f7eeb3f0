"""The user's functions: found by name, called with care, their failures read."""
