"""Time limit of tests that wait for other processes."""

TIMEOUT_SECONDS = 120.0
"""Generous, since every wait ends once its condition holds; only a hanging test takes as long."""
