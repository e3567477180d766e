"""Programs that send keep-alives as fast as they can, and print their number and CPU seconds.

`benchmarks.lane` runs each in its own process, with the same arguments.
"""
