"""A supervisor over two simple processes, as a program that tests can kill: python -m ... HOME.

One process has a grandchild in a session of its own, which only the mark in its environment gives away.
"""

import os
import sys
from pathlib import Path

from backend.supervisor.process import Service
from backend.supervisor.state import StateFolder
from backend.supervisor.supervisor import Supervisor

WITH_GRANDCHILD = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
"""


def main(home: Path) -> None:
    folder = StateFolder(home)
    with folder.only_supervisor(), Supervisor(folder, lambda _text: None) as supervisor, supervisor.stop_on_signals():
        for name, code in (("parent", WITH_GRANDCHILD), ("stubborn", STUBBORN)):
            supervisor.start(Service(name, (sys.executable, "-c", code), dict(os.environ), stop_within_s=1.0))
        supervisor.say_ready()
        supervisor.tend_until_stopped()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
