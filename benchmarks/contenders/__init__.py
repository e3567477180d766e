"""Programs that send keep-alives as fast as they can: each tells how many, and its CPU seconds.

Each is run by `benchmarks.lane`, in a process of its own, with the same arguments.
"""
