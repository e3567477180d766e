"""Benchmarks: the cost of `clkeepalived` compared with alternatives (`make bench`)."""
