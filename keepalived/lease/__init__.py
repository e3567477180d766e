"""The pure core: decides what to send for a session, when, and what an answer means.

Nothing in this package imports asyncio, performs I/O or reads a clock. Functions take the current
time as an argument, and return the new state and the events.
"""
