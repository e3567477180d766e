"""Alternatives to the daemon, each a separate program."""
