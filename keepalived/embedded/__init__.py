"""Keeps sessions alive without the daemon: inside one command, or inside a script."""
