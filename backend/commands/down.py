"""`prelabel down`: what `prelabel up` started is stopped; imports nothing of what it runs."""

from rich.console import Console

from backend.core.settings import load_settings
from backend.supervisor.state import StateFolder, read_status
from backend.supervisor.supervisor import stop_other

DOWN_WITHIN_S = 20.0


def down() -> None:
    """Stop everything that `up` started."""
    folder = StateFolder(load_settings().home)
    found = read_status(folder.home)
    stopped = stop_other(folder, within_s=DOWN_WITHIN_S)
    said = "prelabel has stopped; its state is kept" if stopped else f"prelabel was not running on {folder.home}"
    if found is not None and not found.is_of(folder) and found.alive:
        said += f", a copy of {found.home}; to stop what runs there: prelabel --home {found.home} down"
    Console(stderr=True).print(said, highlight=False, soft_wrap=True)
