"""Whether an installed prelabel ever calls out: a whole loop where every packet that would leave is seen.

    python -m benchmarks.offline          as root; needs `unshare`, `ip`, and weights in $PRELABEL_HOME/models

Runs itself again in a network namespace that has nothing but loopback, where every address of the world leads back to
it: what is sent to one that is not loopback's own is counted, and so is every name that a resolver is asked for. In
there: `prelabel up --demo` in an empty state folder, labels until a training was promoted and its predictions are
shown, `prelabel down`.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from backend.core.settings import load_settings
from backend.logs import configure_logs
from backend.loop.desk import Desk
from benchmarks.playground import annotate, gold_of, wait_until
from samples import load_samples

INSIDE = "PRELABEL_OFFLINE_HOME"
NAME_SERVER = 53
ELSEWHERE = "192.0.2.1"  # of the addresses for documentation
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
IPV6_HEADER, UDP_HEADER, DNS_HEADER = 40, 8, 12  # bytes
N_LABELS = 40


def main() -> None:
    configure_logs("WARNING")
    if os.environ.get(INSIDE):
        print(json.dumps(inside(), indent=2))
        return
    models = load_settings().models_dir.resolve(strict=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        (home / "models").symlink_to(models)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PRELABEL_")}
        again = ["unshare", "--net", sys.executable, "-m", "benchmarks.offline"]
        subprocess.run(again, env={**inherited, INSIDE: "1", "PRELABEL_HOME": str(home)}, check=True)


def inside() -> dict[str, object]:
    """The whole loop; what would have left."""
    make_way_out()
    seen, stop = Counter[str](), threading.Event()
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    watcher = threading.Thread(target=watch, args=(sniffer, seen, stop), daemon=True)
    watcher.start()
    proof = attempts_are_seen(seen)
    prelabel("up", "--demo", "--detach")
    try:
        promoted = loop()
    finally:
        prelabel("down")
    time.sleep(1.0)
    stop.set()
    watcher.join()
    return {"an attempt of our own is seen": proof, "promoted": promoted, "attempts to call out": dict(seen)}


def make_way_out() -> None:
    """Every address leads to loopback, where it is seen, and refused."""
    for command in ("ip link set lo up", "ip route add local default dev lo", "ip -6 route add local default dev lo"):
        subprocess.run(command.split(), check=True)


def watch(sniffer: socket.socket, seen: Counter[str], stop: threading.Event) -> None:
    """Count what is sent elsewhere, and every question for a name, by destination."""
    sniffer.settimeout(0.2)
    with sniffer:
        while not stop.is_set():
            with suppress(TimeoutError):
                packet, (_, protocol, kind, *_) = sniffer.recvfrom(65536)
                if kind == socket.PACKET_OUTGOING and (where := destination(packet, protocol)):
                    seen[where] += 1


def destination(packet: bytes, protocol: int) -> str:
    """Where a packet goes that would leave, or the name that a resolver is asked for; empty for others."""
    if protocol == ETH_P_IP:
        header, what, address = 4 * (packet[0] & 15), packet[9], ip_address(packet[16:20])
    elif protocol == ETH_P_IPV6:
        header, what, address = IPV6_HEADER, packet[6], ip_address(packet[24:40])
    else:
        return ""
    if what not in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):  # ICMP: our own loopback's refusals
        return ""
    (port,) = struct.unpack("!H", packet[header + 2 : header + 4])
    if port == NAME_SERVER and what == socket.IPPROTO_UDP:
        return f"resolver: {name_asked(packet[header + UDP_HEADER + DNS_HEADER :])}"
    stays = address.is_loopback or address.is_multicast or address.is_link_local
    return "" if stays and port != NAME_SERVER else f"{address} port {port}"


def name_asked(question: bytes) -> str:
    """The name at the beginning of a DNS question (RFC 1035, 4.1.2)."""
    parts, place = [], 0
    while length := question[place]:
        parts.append(question[place + 1 : place + 1 + length].decode("ascii", "replace"))
        place += 1 + length
    return ".".join(parts)


def attempts_are_seen(seen: Counter[str]) -> bool:
    """Whether the watcher sees a packet that we send out ourselves; forgotten then."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"x", (ELSEWHERE, 9))
    deadline = time.monotonic() + 5.0
    while not seen and time.monotonic() < deadline:
        time.sleep(0.05)
    found = seen.pop(f"{ELSEWHERE} port 9", 0) == 1
    seen.clear()
    return found


def prelabel(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "backend.cli", *arguments], stdout=sys.stderr, check=True)


def loop() -> str:
    """Label the English sample until a trained version is shown; that version."""
    with Desk(load_settings()) as desk:
        title = load_samples()[0].title
        key = next(key for key in desk.ledger.project_keys() if desk.project(key).project.title == title)
        work = desk.project(key)
        for _ in range(N_LABELS):
            task = desk.client.next_task(work.id)
            annotate(work, task["id"], gold_of(task["data"]["text"]), lead_time=1.0)
        wait_until(lambda: any(training.promoted for training in desk.ledger.trainings(key)))
        wait_until(lambda: desk.client.project(work.id).model_version == work.folder.current())
        return work.folder.current()


if __name__ == "__main__":
    main()
