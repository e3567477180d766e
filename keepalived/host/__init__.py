"""Interfaces to the operating system: clocks, files, processes, sockets, systemd."""
