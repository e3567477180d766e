"""What parses foreign input, fed with what people, servers and accidents may put there.

FUZZ_EXAMPLES says how many examples there are for each property; more of them find more.
Without it there are twenty, which `make test` derives from the tests: the same in every run.
"""
