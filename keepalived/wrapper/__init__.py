"""Keeping sessions alive around one command."""
