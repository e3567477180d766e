"""Work that is finished whether or not whoever asked for it is still there."""

from __future__ import annotations

import asyncio

import pytest

from keepalived.control.background_tasks import BackgroundTasks


async def test_an_errand_goes_on_when_whoever_asked_is_gone() -> None:
    background, go_on, done = BackgroundTasks(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        done.set()

    asking = asyncio.create_task(background.run_shielded(work(), "work"))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()

    go_on.set()
    await background.all_done()

    assert done.is_set()


async def test_whoever_asked_hears_how_it_went() -> None:
    async def work() -> int:
        return 7

    async def fail() -> None:
        raise OSError("no")

    assert await BackgroundTasks().run_shielded(work(), "work") == 7
    with pytest.raises(OSError, match="no"):
        await BackgroundTasks().run_shielded(fail(), "fail")


async def test_a_failure_that_nobody_waits_for_is_logged(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def fail() -> None:
        raise OSError("the disk is gone")

    background = BackgroundTasks()
    background.spawn_unwatched(fail(), "a small thing")
    await background.all_done()
    await asyncio.sleep(0)

    output = "".join(capfd.readouterr())
    assert "errand_failed" in output
    assert "a small thing" in output
    assert "the disk is gone" in output
