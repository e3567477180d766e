"""What people use instead, each a program of its own."""
