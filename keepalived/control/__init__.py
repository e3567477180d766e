"""The control socket: HTTP and JSON on a Unix socket, for the command line and for scripts."""
