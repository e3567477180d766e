"""What several tests share: clocks whose hands are turned, sessions in a given state."""
