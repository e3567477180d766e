"""The command line: thin commands that run a daemon or send requests to one."""
