"""Faults survived: real uploads on the simulator, kept by nobody, by rivals, by the daemon."""
