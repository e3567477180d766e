"""Stores holds, deadlines and ends of sessions in an SQLite file."""
