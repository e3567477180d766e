"""What `exec --item` says of an item in the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Fail
from keepalived.vcenter.client import Client
from keepalived.wrapper.items import NamedItems
from keepalived.wrapper.tokens import Lent
from tests.support.engine import NAME, LoopClock, settings_of, simulator_in_loop
from tests.support.memory_transport import MemoryTransport

pytestmark = pytest.mark.looptime

ITEM = "library/image.ova"


def nothing(simulator: Simulator) -> None:
    pass


def create(simulator: Simulator) -> None:
    simulator.open_session()


def fill(simulator: Simulator) -> None:
    (item,) = simulator.library.catalog.items()
    item.content_version += 1


def delete(simulator: Simulator) -> None:
    (item,) = simulator.library.catalog.items()
    simulator.library.delete_item(item.id)


def break_down(simulator: Simulator) -> None:
    simulator.faults.add(Fail(500), route="library.find")


@pytest.mark.parametrize(
    ("before", "meanwhile", "said"),
    [
        (nothing, nothing, f"{ITEM} is missing"),
        (nothing, create, f"{ITEM} is new, but without content, version 1"),
        (create, nothing, f"{ITEM} is unchanged, version 1"),
        (create, fill, f"{ITEM} arrived, version 1→2"),
        (create, delete, f"{ITEM} is missing: it was there before"),
        (create, break_down, f"{ITEM}: whether it arrived is unknown: {NAME} says HTTP 500"),
        (break_down, lambda s: s.faults.clear(), f"{ITEM} is missing"),
    ],
)
async def test_an_item_is_looked_up_before_and_after(
    before: Callable[[Simulator], None], meanwhile: Callable[[Simulator], None], said: str
) -> None:
    simulator, clock = simulator_in_loop(), LoopClock()
    settings = settings_of(simulator, "http://vcenter.test", simulator.password)
    client = Client(NAME, settings, MemoryTransport(simulator.handle), clock)
    items = NamedItems(client, [ITEM], Lent(None, clock, lambda _: None))

    before(simulator)
    await items.begin(10.0)
    meanwhile(simulator)
    found = items.sentence(ITEM, await items.look(ITEM, 10.0), NAME, has_arrived=False)

    assert found.startswith(said)
    await client.close(timeout=1.0)
