"""Texts stay: a model that is loaded and asked calls nobody, however talkative its library is by default."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WATCHED = """
import socket, sys, threading, time
from collections import Counter
from pathlib import Path

from backend.assembly import Assembly
from backend.core.settings import Settings
from benchmarks.offline import ETH_P_ALL, attempts_are_seen, make_way_out, watch

make_way_out()
seen, stop = Counter(), threading.Event()
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
threading.Thread(target=watch, args=(sniffer, seen, stop), daemon=True).start()
assert attempts_are_seen(seen)
embedder = Assembly(Settings(home=Path(sys.argv[1]))).embedder("en")
assert embedder.embed(["where is my parcel"]).shape == (1, embedder.dim)
time.sleep(15.0)  # ONNX Runtime makes its first call after nine seconds
sys.exit(", ".join(seen) or 0)
"""


def test_an_embedder_calls_nobody(models_dir: Path, tmp_path: Path) -> None:
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a network namespace: run as root")
    (tmp_path / "models").symlink_to(models_dir)
    quiet = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", WATCHED, str(tmp_path)], env=quiet, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-500:]
