"""Fuzz tests of all parsers of foreign input.

FUZZ_EXAMPLES is the number of examples for each property. The default is 20, which `make test`
derives from the tests, so that they are the same in every run.
"""
