"""What can go wrong with the state file."""

from __future__ import annotations


class StoreError(Exception):
    """The state file cannot be used; the message names it, says why, and what to do."""


class StoreWriteError(OSError):
    """Something could not be written. `errno` is ENOSPC where there was no room for it."""
