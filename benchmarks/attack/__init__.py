"""Attack one daemon with hostile files, requests, answers and users at the same time.

python -m benchmarks.attack --minutes 3
"""
