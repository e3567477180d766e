"""A soak: one daemon under churn for an hour, and whether anything in it has grown at the end.

python -m benchmarks.soak --minutes 60
"""
