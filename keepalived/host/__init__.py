"""The operating system: clocks, processes, systemd."""
