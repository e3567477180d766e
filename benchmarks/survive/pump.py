"""A bad link in user space, for kernels without netem: forward packets between two TUN devices.

    python -m benchmarks.survive.pump NAMESPACE LOSS DELAY JITTER

The device `near` is created here and `far` in the network namespace at the path NAMESPACE. In
either direction a packet is lost with probability LOSS, and otherwise forwarded after DELAY
seconds, plus or minus JITTER. Prints `ready` once the devices exist.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import random
import struct
import sys
from contextlib import suppress

_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_CLONE_NEWNET = 0x40000000
_LARGEST_PACKET = 65536


def open_device(name: str) -> int:
    """Create a TUN device in the current namespace; return its descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    request = struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(device, _TUNSETIFF, request)
    return device


def enter_network(path: str) -> None:
    """Enter another network namespace. Raises OSError."""
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "cannot enter the namespace", path)
    finally:
        os.close(namespace)


async def pump(near: int, far: int, loss: float, delay: float, jitter: float) -> None:
    """Forward packets in both directions until cancelled."""
    loop = asyncio.get_running_loop()

    def deliver(device: int, packet: bytes) -> None:
        with suppress(OSError):  # the device may not be up yet
            os.write(device, packet)

    def take(from_: int, to: int) -> None:
        packet = os.read(from_, _LARGEST_PACKET)
        if random.random() >= loss:  # noqa: S311 - chance, not secrecy
            late = delay + random.uniform(-jitter, jitter)  # noqa: S311
            loop.call_later(late, deliver, to, packet)

    loop.add_reader(near, take, near, far)
    loop.add_reader(far, take, far, near)
    await asyncio.Event().wait()


def main() -> None:
    namespace, *figures = sys.argv[1:]
    loss, delay, jitter = map(float, figures)
    near = open_device("near")
    enter_network(namespace)
    far = open_device("far")
    print("ready", flush=True)
    asyncio.run(pump(near, far, loss, delay, jitter))


if __name__ == "__main__":
    main()
