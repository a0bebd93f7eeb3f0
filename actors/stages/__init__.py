"""The actors: each receives, asks a rule, and sends what the rule says."""
