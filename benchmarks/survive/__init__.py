"""Compare faults survived by uploads with no keeper, with simple keepers, and with the daemon."""
