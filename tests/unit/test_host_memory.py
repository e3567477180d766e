"""Memory that is returned to the system, in a separate process: the setting is process-wide."""

from __future__ import annotations

import subprocess
import sys

from keepalived.host.memory import resident_bytes

MIB = 1 << 20

# Long answers come and go, and something small is kept of each. After a first one of 20 MiB, glibc
# takes the others from its heap, unless it is told otherwise.
_ANSWERS = """
import random, sys
from keepalived.host.memory import give_back_large_blocks, resident_bytes
if "give" in sys.argv:
    give_back_large_blocks()
del_me = bytearray(20 << 20)
del del_me
before = resident_bytes()
kept, held = [], []
draw = random.Random(1)
for number in range(2000):
    held.append(bytearray(draw.randrange(64, 512) << 10))
    kept.append(bytearray(2000))
    if len(held) > 100:
        held.pop(draw.randrange(len(held)))
held.clear()
print(resident_bytes() - before)
"""


def grown_by(*arguments: str) -> int:
    command = [sys.executable, "-c", _ANSWERS, *arguments]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_what_this_process_has_is_known() -> None:
    assert MIB < resident_bytes() < 1 << 40


def test_large_blocks_are_given_back() -> None:
    assert grown_by("give") < 8 * MIB
    assert grown_by() > 16 * MIB
