"""Whether a port is free, asked before anything is started: Label Studio would silently take the next one."""

import socket

import psutil

from backend.core.errors import OutsideError

CONNECT_TIMEOUT_S = 0.5


def require_free(host: str, port: int, *, what: str, setting: str) -> None:
    """Nobody listens on a port.

    Raises:
        OutsideError: somebody does, or the address is not one of this machine; names port, setting and remedy.
    """
    problem = why_busy(host, port)
    if problem:
        raise OutsideError(f"{what} needs port {port} on {host}, but {problem}; stop that or change {setting}")


def why_busy(host: str, port: int) -> str:
    """Why a port cannot be listened on; empty where it can."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as err:
            return f"it is taken{holder(port)}" if accepts(host, port) else f"the system says: {err.strerror}"
    return f"it is taken{holder(port)}" if accepts(host, port) else ""


def accepts(host: str, port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(CONNECT_TIMEOUT_S)
        return client.connect_ex((host, port)) == 0


def holder(port: int) -> str:
    """Who listens, where the system tells us."""
    try:
        listeners = [
            entry.pid
            for entry in psutil.net_connections(kind="tcp")
            if entry.status == psutil.CONN_LISTEN and getattr(entry.laddr, "port", 0) == port and entry.pid
        ]
        return f" by {psutil.Process(listeners[0]).name()} (process {listeners[0]})" if listeners else ""
    except psutil.Error:
        return ""
