"""What ``scripts/bench`` measures, on real systems: one module a kind of figure.

``rows`` is the table of figures and bars; a measurement gives numbers by name, and
a row says what they are held against. Every number is the median of several runs,
and what it is compared with was measured in the same run.
"""
