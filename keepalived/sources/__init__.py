"""Sources of holds: YAML files, and discovery in vCenters."""
