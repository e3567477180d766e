"""Renews sessions: one keeper per vCenter, and the registry of sessions and holds."""
