"""Soak test: run one daemon under churn for an hour, and check that nothing in it has grown.

python -m benchmarks.soak --minutes 60
"""
