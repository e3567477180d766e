"""Loaded into the daemon under test: writes the number of tasks and objects on a signal.

Python imports a module of this name when it starts. SIGUSR2 requests the numbers; SIGUSR1 collects
garbage first. The answer is written to the file that SOAK_PROBE names, in one rename.
"""

import os
import signal
import types


def _write_answer(number: int, _frame: types.FrameType | None) -> None:
    import asyncio
    import collections
    import gc
    import json

    answer: dict[str, object] = {}
    # Includes objects that the daemon has frozen.
    if number == signal.SIGUSR1:
        gc.unfreeze()
        gc.collect()
        gc.unfreeze()
        answer["types"] = collections.Counter(type(each).__qualname__ for each in gc.get_objects())
    answer["objects"] = len(gc.get_objects()) + gc.get_freeze_count()
    try:
        answer["tasks"] = len(asyncio.all_tasks())
    except RuntimeError:  # no loop is running, for example during the start
        answer["tasks"] = 0
    path = os.environ["SOAK_PROBE"]
    with open(f"{path}.part", "w", encoding="utf-8") as file:
        json.dump(answer, file)
    os.replace(f"{path}.part", path)


if "SOAK_PROBE" in os.environ:
    signal.signal(signal.SIGUSR1, _write_answer)
    signal.signal(signal.SIGUSR2, _write_answer)
