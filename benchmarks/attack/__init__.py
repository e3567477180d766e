"""Hostile files, requests, answers and users at once, against one daemon that holds sessions.

python -m benchmarks.attack --minutes 3
"""
