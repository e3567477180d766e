"""Keep sessions alive inside a Python program (`keepalived.hold`)."""
