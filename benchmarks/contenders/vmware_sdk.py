"""VMware's own SDK for Python by its REST connector, one keep-alive after the other."""

from __future__ import annotations

import itertools
import warnings

import requests

warnings.simplefilter("ignore", DeprecationWarning)

from com.vmware.content.library.item_client import UpdateSession  # noqa: E402 - see above
from vmware.vapi.lib.connect import get_requests_connector  # noqa: E402
from vmware.vapi.security.session import create_session_security_context  # noqa: E402
from vmware.vapi.stdlib.client.factories import StubConfigurationFactory  # noqa: E402

from benchmarks.contenders.counting import Count, ids, task  # noqa: E402


def main() -> None:
    """Send keep-alives and print their number."""
    doing = task()
    http = requests.Session()
    http.trust_env = False
    http.verify = str(doing.ca_file) if doing.ca_file else True
    connector = get_requests_connector(session=http, url=f"{doing.url}/api", msg_protocol="rest")
    connector.set_security_context(create_session_security_context("token"))
    sessions = UpdateSession(StubConfigurationFactory.new_std_configuration(connector))
    turns = itertools.cycle(ids())
    sessions.keep_alive(next(turns))
    count, going = Count(doing.seconds), True
    while going:
        sessions.keep_alive(next(turns))
        going = count.goes_on()
    count.report()


if __name__ == "__main__":
    main()
