"""The engine: one keeper per vCenter, and the registry of what is wanted."""
