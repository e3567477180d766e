"""The command line: thin commands that build a daemon, or talk to one."""
