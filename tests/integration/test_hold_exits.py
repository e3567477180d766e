"""Scripts that end in every way there is, as strictly watched as Python can: `-W error -X dev`."""

from __future__ import annotations

import os
import signal
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.simulator_support import write_certificate
from tests.support.held import Lab, lab, script
from tests.support.timeouts import TIMEOUT_SECONDS

extended = pytest.mark.extended
LIFETIME = 120.0

BEGIN = """
import gc, os, sys, threading, time
from keepalived import hold as keep
url, session_id, ca_file = sys.argv[1:]
before = threading.enumerate(), len(os.listdir("/proc/self/fd"))
def hold():
    return keep(
        url, session_id, username=os.environ["USERNAME"], password=os.environ["PASSWORD"],
        session_timeout=float(os.environ.get("TOLD", "120")), ca_file=ca_file or None)
"""


@pytest.fixture
def vcenter() -> Iterator[Lab]:
    with lab(session_timeout=LIFETIME, put_counts_as_activity=False) as served:
        yield served


def start(
    vcenter: Lab,
    text: str,
    session_id: str = "",
    ca_file: str = "",
    url: str = "",
    **environment: str,
) -> subprocess.Popen[str]:
    user = vcenter.credentials()
    return script(
        BEGIN + textwrap.dedent(text),
        *(url or vcenter.url, session_id or vcenter.open(), ca_file),
        USERNAME=user["username"],
        PASSWORD=user["password"],
        **environment,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a script; return its exit code, and what it said."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, out, err


LEAVES_NOTHING = """
with hold() as held:
    inside = len(threading.enumerate())
    sys.stdin.readline()
gc.collect()
print(inside - len(before[0]), threading.enumerate() == before[0])
print(len(os.listdir("/proc/self/fd")) - before[1], held.state)
"""


def ended_after_renewals(vcenter: Lab, text: str, ca_file: str = "") -> tuple[int, str, str]:
    """Run a script that holds a session until its input ends; end that after some renewals."""
    session_id = vcenter.open()
    process = start(vcenter, text, session_id, ca_file, TOLD="2")
    vcenter.until_renewed(session_id)
    return ended(process)


def test_a_block_leaves_no_thread_no_socket_and_no_warning(vcenter: Lab) -> None:
    assert ended_after_renewals(vcenter, LEAVES_NOTHING) == (0, "1 True\n0 RELEASED\n", "")
    assert vcenter.logged_in() == 0


@extended
def test_nor_does_it_by_https(tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path / "server.pem")
    with lab(certificate, session_timeout=LIFETIME) as vcenter:
        ran = ended_after_renewals(vcenter, LEAVES_NOTHING, str(certificate))
        assert ran == (0, "1 True\n0 RELEASED\n", "")
        assert vcenter.logged_in() == 0


@extended
def test_nor_does_one_of_asyncio(vcenter: Lab) -> None:
    ran = ended_after_renewals(
        vcenter,
        """
        import asyncio
        async def main():
            async with hold() as held:
                await asyncio.to_thread(sys.stdin.readline)
        asyncio.run(main())
        gc.collect()
        print(threading.enumerate() == before[0], len(os.listdir("/proc/self/fd")) - before[1])
        """,
    )
    assert ran == (0, "True 0\n", "")


@extended
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_script_that_forgets_to_leave_the_block_ends_and_is_logged_out(
    vcenter: Lab, host: str
) -> None:
    # By name, addresses are looked up in threads of Python's own, which end before ours.
    url = vcenter.url.replace("127.0.0.1", host)
    text = "held = hold().__enter__(); print(held.state, flush=True)"
    process = start(vcenter, text, url=url)
    assert process.stdout is not None
    assert process.stdout.readline() == "ACTIVE\n"
    assert ended(process) == (0, "", "")
    assert vcenter.logged_in() == 0


@extended
def test_so_does_one_on_asyncio(vcenter: Lab) -> None:
    process = start(
        vcenter,
        """
        import asyncio
        async def main():
            global held
            held = await hold().__aenter__()
            print(held.state)
        asyncio.run(main())
        """,
    )
    assert ended(process) == (0, "ACTIVE\n", "")
    assert vcenter.logged_in() == 0


@extended
def test_one_that_drops_it_is_told_so_as_with_files(vcenter: Lab) -> None:
    process = start(vcenter, "hold().__enter__(); gc.collect()")
    code, _, err = ended(process)
    assert code == 0
    assert "ResourceWarning: <hold on update session " in err
    assert err.splitlines()[-1].endswith("was never exited")
    assert vcenter.logged_in() == 0


@extended
@pytest.mark.parametrize(
    ("how", "code"), [("sys.exit(3)", 3), ("os._exit(4)", 4), ("os.abort()", -signal.SIGABRT)]
)
def test_an_interpreter_that_exits_while_a_hold_is_open_does_not_hang(
    vcenter: Lab, how: str, code: int
) -> None:
    faulthandler = "import faulthandler; faulthandler.disable()"  # which -X dev has switched on
    process = start(vcenter, f"{faulthandler}\nwith hold():\n    {how}")
    assert ended(process) == (code, "", "")


@extended
def test_a_thread_that_holds_while_the_main_one_exits_ends_with_it(vcenter: Lab) -> None:
    process = start(
        vcenter,
        """
        entered = threading.Event()
        def upload():
            with hold():
                entered.set()
                time.sleep(100_000)
        threading.Thread(target=upload, daemon=True).start()
        entered.wait()
        """,
    )
    assert ended(process) == (0, "", "")
    assert vcenter.logged_in() == 0


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Press Ctrl-C once the script has said that it is within; return how it ended."""
    assert process.stdout is not None
    assert process.stdout.readline() == "within\n"
    os.kill(process.pid, signal.SIGINT)
    code, _, err = ended(process)
    return code, err


def test_ctrl_c_ends_the_block_and_is_not_replaced(vcenter: Lab) -> None:
    session_id = vcenter.open()
    text = "with hold():\n    print('within', flush=True)\n    time.sleep(100_000)"
    code, err = interrupted(start(vcenter, text, session_id))
    assert code == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert "keepalived/" not in err
    assert vcenter.events(session_id) == ["created"]
    assert vcenter.logged_in() == 0


@extended
def test_ctrl_c_ends_an_asyncio_script(vcenter: Lab) -> None:
    text = """
    import asyncio
    async def main():
        async with hold():
            print("within", flush=True)
            await asyncio.sleep(100_000)
    asyncio.run(main())
    """
    code, err = interrupted(start(vcenter, text))
    assert code == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert vcenter.logged_in() == 0


@extended
def test_ctrl_c_while_a_vcenter_that_is_away_is_waited_for(vcenter: Lab) -> None:
    text = "print('within', flush=True)\nwith hold():\n    pass"
    code, err = interrupted(start(vcenter, text, url="http://127.0.0.1:9"))
    assert code == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt"


@extended
def test_a_loss_ends_a_script_with_words(vcenter: Lab) -> None:
    session_id = vcenter.open()
    process = start(
        vcenter,
        "with hold():\n    print('within', flush=True)\n    sys.stdin.read()",
        session_id,
        TOLD="2",
    )
    assert process.stdout is not None
    process.stdout.readline()
    vcenter.cancel(session_id)
    assert process.stderr is not None
    first = process.stderr.readline()  # logged when it is seen
    code, _, err = ended(process)
    words = f"update session {session_id} ended as CANCELED (canceled on the server)"
    assert code == 1
    assert first == f"{words}\n"
    assert err.splitlines()[-1] == f"keepalived.embedded.errors.SessionLost: {words}"


@extended
def test_a_child_of_a_fork_exits_as_if_it_held_nothing(vcenter: Lab) -> None:
    session_id = vcenter.open()
    process = start(
        vcenter,
        """
        import warnings
        with hold() as held:
            warnings.simplefilter("ignore")  # newer Pythons warn of any fork beside threads
            child = os.fork()
            if child == 0:
                held.progress(50)
                gc.collect()
                sys.exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            sys.stdin.readline()
            print(held.state)
        """,
        session_id,
        TOLD="2",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "7\n"
    vcenter.until_renewed(session_id)
    assert ended(process) == (0, "ACTIVE\n", "")
    assert vcenter.told(session_id) == []
    assert vcenter.logged_in() == 0
