import os
import socket

import pytest

from backend.core.errors import OutsideError
from backend.supervisor.ports import require_free
from tests.stack import free_port


def test_a_free_port_passes() -> None:
    require_free("127.0.0.1", free_port(), what="Label Studio", setting="X")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_busy_port_is_named_with_its_holder_and_its_setting(address: str) -> None:
    with socket.socket() as listener:
        listener.bind((address, 0))
        listener.listen()
        port = listener.getsockname()[1]
        expected = (
            rf"Label Studio needs port {port} on 127.0.0.1, but it is taken by .*\(process {os.getpid()}\);.*change X"
        )
        with pytest.raises(OutsideError, match=expected):
            require_free("127.0.0.1", port, what="Label Studio", setting="X")


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(OutsideError, match="the system says"):
        require_free("192.0.2.1", 9090, what="prelabel's web process", setting="X")
