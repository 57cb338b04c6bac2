"""A host that is neither this machine nor one of the stack's: in a network namespace, behind this machine's routing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

NAME, HERE, THERE, PORT = "prelabel-outside", "198.51.100.1", "198.51.100.2", 8000
SERVE = """\
import socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print(flush=True)
while True:
    listener.accept()
"""


@contextmanager
def outside_host() -> Iterator[str]:
    """ADDRESS/PORT of a server there, as bash's /dev/tcp takes it; the test is skipped where none can be made."""
    if os.getuid() or not shutil.which("ip"):
        pytest.skip("needs root and iproute2 for a host outside")
    _ip("netns", "add", NAME)
    try:
        _ip("link", "add", "prelabel-o", "type", "veth", "peer", "name", "eth0", "netns", NAME)
        _ip("address", "add", f"{HERE}/30", "dev", "prelabel-o")
        _ip("link", "set", "prelabel-o", "up")
        for arguments in (
            ("address", "add", f"{THERE}/30", "dev", "eth0"), ("link", "set", "eth0", "up"),
            ("route", "add", "default", "via", HERE),
        ):  # fmt: skip
            _ip("-n", NAME, *arguments)
        command = ["ip", "netns", "exec", NAME, sys.executable, "-c", SERVE, THERE, str(PORT)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            server.stdout.readline()
            yield f"{THERE}/{PORT}"
            server.terminate()
    finally:
        _ip("netns", "delete", NAME)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
