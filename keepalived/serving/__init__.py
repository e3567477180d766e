"""Code that the HTTP servers share: accepting connections, limits, and the log of bad requests."""
