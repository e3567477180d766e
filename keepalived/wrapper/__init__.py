"""Keeps sessions alive while one command runs."""
