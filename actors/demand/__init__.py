"""The rules, pure: who gets which job, and when."""
