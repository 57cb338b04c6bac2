"""Whether an installed prelabel ever calls out: a whole loop where every packet that would leave is seen.

    python -m benchmarks.offline          as root; needs `unshare`, `ip`, and weights in $PRELABEL_HOME/models

Runs itself again in a network namespace whose only way out is a dummy interface that leads nowhere; what is sent to it
is counted, names that are asked for included. In there: `prelabel up --demo` in an empty state folder, labels until a
training was promoted and its predictions are shown, `prelabel down`.
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
from pathlib import Path

from backend.core.settings import load_settings
from backend.loop.desk import Desk
from benchmarks.playground import annotate, gold_of, wait_until
from samples import load_samples

INSIDE = "PRELABEL_OFFLINE_HOME"
INTERFACE, ADDRESS, GATEWAY = "out0", "10.254.0.2", "10.254.0.1"
NAME_SERVER = 53
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
N_LABELS = 40


def main() -> None:
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
    watcher = threading.Thread(target=watch, args=(seen, stop), daemon=True)
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
    """Loopback, and an interface with a default route behind which nobody is."""
    for command in (
        "ip link set lo up",
        f"ip link add {INTERFACE} type dummy",
        f"ip addr add {ADDRESS}/24 dev {INTERFACE}",
        f"ip link set {INTERFACE} up",
        f"ip neigh add {GATEWAY} lladdr 02:00:00:00:00:01 dev {INTERFACE}",
        f"ip route add default via {GATEWAY}",
    ):
        subprocess.run(command.split(), check=True)


def watch(seen: Counter[str], stop: threading.Event) -> None:
    """Count what is sent to the way out, and every question for a name, by destination."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)) as sniffer:
        sniffer.settimeout(0.2)
        while not stop.is_set():
            with suppress(TimeoutError):
                packet, (interface, protocol, *_) = sniffer.recvfrom(65536)
                if protocol == ETH_P_IP and (where := destination(packet, interface)):
                    seen[where] += 1
                elif protocol == ETH_P_IPV6 and interface == INTERFACE and packet[6] != socket.IPPROTO_ICMPV6:
                    seen[socket.inet_ntop(socket.AF_INET6, packet[24:40])] += 1


def destination(packet: bytes, interface: str) -> str:
    """Address and port of a packet that would leave, or that asks a resolver for a name; empty for others."""
    header = 4 * (packet[0] & 15)
    ported = packet[9] in (socket.IPPROTO_TCP, socket.IPPROTO_UDP) and len(packet) >= header + 4
    port = struct.unpack("!H", packet[header + 2 : header + 4])[0] if ported else 0
    leaves = interface == INTERFACE or port == NAME_SERVER
    return f"{socket.inet_ntoa(packet[16:20])}:{port}" if leaves else ""


def attempts_are_seen(seen: Counter[str]) -> bool:
    """Whether the watcher sees a packet that we send out ourselves; forgotten then."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"x", ("192.0.2.1", 9))
    deadline = time.monotonic() + 5.0
    while not seen and time.monotonic() < deadline:
        time.sleep(0.05)
    found = seen.pop("192.0.2.1:9", 0) == 1
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
