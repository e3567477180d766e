"""The pure core: what to send for a session, when, and what an answer means.

Nothing in this room imports asyncio, performs I/O or reads a clock. Every function takes the
present as an argument and returns what follows from it.
"""
