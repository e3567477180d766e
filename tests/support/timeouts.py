"""How long a test waits for other processes before it fails."""

TIMEOUT_SECONDS = 120.0
"""Generous, as every wait ends once its condition holds: only what hangs takes as long."""
