"""The durable registry: holds, deadlines and ends in one SQLite file."""
