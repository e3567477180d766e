"""Who wants which sessions kept alive."""
