"""Errors of the state file."""

from __future__ import annotations


class StoreError(Exception):
    """The state file cannot be used; the message gives its path, the reason and a remedy."""


class StoreWriteError(OSError):
    """A change could not be written. `errno` is ENOSPC if the disk is full."""
