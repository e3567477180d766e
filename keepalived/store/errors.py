"""Errors of the state file."""

from __future__ import annotations


class StoreError(Exception):
    """The state file cannot be used; the message names it, says why, and what to do."""


class StoreWriteError(OSError):
    """A change could not be written. `errno` is ENOSPC if the disk is full."""
