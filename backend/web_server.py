"""How gunicorn's threads wait: never for ever, and none of them where connections are accepted.

gunicorn 27 waits without limit for the rest of a request, so that as many stalled clients as there are threads silence
the process, and lingers up to 2 s for each client that does not hang up, in the one thread that accepts connections.
"""

import socket
import struct
from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

STALL_S = 5  # for the next bytes, in either direction; Label Studio sends a request in one piece
LINGER_S = 1.0  # for a client to hang up once it has its answer
READ_BYTES = 65_536
TIMEVAL = struct.pack("ll", STALL_S, 0)


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's `gthread`, which gives up on clients that say nothing."""

    def handle(self, conn: Any) -> Any:
        for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # they outlive gunicorn's own setblocking
            conn.sock.setsockopt(socket.SOL_SOCKET, direction, TIMEVAL)
        goes_on = super().handle(conn)
        if not goes_on:
            part(conn.sock)
        return goes_on


def part(connection: socket.socket) -> None:
    """Say that this was all and wait a moment for the client to hang up; what closes it then has nothing to wait for.

    A connection that is closed at once takes its answer along where the client still sends.
    """
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(LINGER_S)
        while connection.recv(READ_BYTES):
            pass
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
