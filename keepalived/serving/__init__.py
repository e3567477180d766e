"""What the HTTP servers of this project share: connections, limits and the log of bad requests."""
