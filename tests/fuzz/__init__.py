"""What parses foreign input, fed with what people, servers and accidents may put there.

FUZZ_EXAMPLES says how many examples there are for each property; more of them find more.
"""
