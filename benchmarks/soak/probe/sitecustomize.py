"""Loaded into the daemon under test: tells on a signal how many tasks and objects there are.

Python imports a module of this name when it starts. SIGUSR2 asks; SIGUSR1 has garbage collected
first. The answer goes to the file that SOAK_PROBE names, in one rename.
"""

import os
import signal
import types


def _tell(number: int, _frame: types.FrameType | None) -> None:
    import asyncio
    import collections
    import gc
    import json

    told: dict[str, object] = {}
    # What the daemon has set aside counts as well.
    if number == signal.SIGUSR1:
        gc.unfreeze()
        gc.collect()
        gc.unfreeze()
        told["types"] = collections.Counter(type(each).__qualname__ for each in gc.get_objects())
    told["objects"] = len(gc.get_objects()) + gc.get_freeze_count()
    try:
        told["tasks"] = len(asyncio.all_tasks())
    except RuntimeError:  # no loop runs at this moment, such as at the very start
        told["tasks"] = 0
    path = os.environ["SOAK_PROBE"]
    with open(f"{path}.part", "w", encoding="utf-8") as file:
        json.dump(told, file)
    os.replace(f"{path}.part", path)


if "SOAK_PROBE" in os.environ:
    signal.signal(signal.SIGUSR1, _tell)
    signal.signal(signal.SIGUSR2, _tell)
