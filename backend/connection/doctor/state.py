"""Doctor on the state folder: writable, with room, private; its database, and what killed processes left there."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from backend.connection.doctor.check import BROKEN, Check, Fault, Finding, broken
from backend.core.artefacts import remove
from backend.core.disk import OTHERS, PRIVATE_FILE, disk_of
from backend.core.projects import ProjectFolder
from backend.loop.desk import Desk

DATABASE = "database"  # without it no project is known
ENTER = 0o011  # the right of others to reach what is in a folder
NAMED = 3  # of the files that others can read; the rest are counted


def make_private(desk: Desk) -> str:
    shared = _shared(desk)
    for path in shared:
        path.chmod(PRIVATE_FILE)
    return f"{_names(shared)}: for this user only"


def close_to_others(desk: Desk) -> str:
    opened = list(_open_to_others(desk))
    for path in opened:
        path.chmod(path.stat().st_mode & ~OTHERS)
    return f"{len(opened)} files and folders: for this user only"


def clear_away(desk: Desk) -> str:
    left = list(_left(desk))
    for path in left:
        remove(path)
    return f"{len(left)} folders are deleted"


READ_ONLY: Fault[Desk] = Fault(
    "the state folder cannot be written", "{folder} cannot be written ({problem})",
    "give it to the user that prelabel runs as, mount it read-write, or set PRELABEL_HOME",
)  # fmt: skip
FULL: Fault[Desk] = Fault(
    "the disk is nearly full", "{free:.1f} GB are free for {folder}, {share:.0%} of its file system",
    "make room: models that no profile uses, logs; or set PRELABEL_HOME to a larger disk",
)  # fmt: skip
READABLE: Fault[Desk] = Fault(
    "others can read a file with secrets", "others can read {files}, with secrets inside",
    "chmod 600 {files}, and change the secrets if others use this machine", make_private,
)  # fmt: skip
OPEN: Fault[Desk] = Fault(
    "others can read the state", "{n} files and folders of {folder} are open to others ({files}): they hold texts",
    "run: prelabel doctor --fix, or chmod -R go= {folder}", close_to_others,
)  # fmt: skip
NO_DATABASE: Fault[Desk] = Fault(
    "the database cannot be used", "the database cannot be used ({problem}): no project is known",
    "check PRELABEL_DATABASE_URL, and that the state folder can be written",
)  # fmt: skip
LEFT: Fault[Desk] = Fault(
    "folders of killed processes", "{n} half-written folders of killed processes take {megabytes:.0f} MB",
    "run: prelabel doctor --fix", clear_away,
)  # fmt: skip


def folder(desk: Desk) -> Finding[Desk]:
    """By trying; folders inside may be another user's, who once ran a command."""
    home, projects = desk.settings.home, desk.settings.projects_dir
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=home):
            inside = [projects, *projects.glob("*/"), *projects.glob("*/artefacts/")]
    except OSError as err:
        return READ_ONLY.seen(folder=home, problem=err.strerror)
    closed = [each for each in inside if each.is_dir() and not os.access(each, os.W_OK | os.X_OK)]
    if closed:
        return READ_ONLY.seen(folder=closed[0], problem="it belongs to another user")
    return Finding(f"{home} can be written")


def disk(desk: Desk) -> Finding[Desk]:
    found = disk_of(desk.settings.home)
    if found.nearly_full:
        return FULL.seen(free=found.free / 1e9, share=found.share_free, folder=desk.settings.home)
    return Finding(f"{found.free / 1e9:.0f} GB are free")


def secrets(desk: Desk) -> Finding[Desk]:
    shared = _shared(desk)
    return READABLE.seen(files=_names(shared)) if shared else Finding("no other user can read them")


def private(desk: Desk) -> Finding[Desk]:
    """Whether others are kept out of the whole state but the weights, which several users may share."""
    opened = list(_open_to_others(desk))
    if not opened:
        return Finding("for this user's eyes only")
    home = desk.settings.home
    names = ", ".join(str(path.relative_to(home)) for path in opened[:NAMED])
    more = f" and {len(opened) - NAMED} more" if len(opened) > NAMED else ""
    return OPEN.seen(n=len(opened), folder=home, files=names + more)


def database(desk: Desk) -> Finding[Desk]:
    try:
        n = len(desk.ledger.project_keys())
    except BROKEN as err:
        return NO_DATABASE.seen(problem=broken(err))
    return Finding(f"knows {n} project{'' if n == 1 else 's'}")


def left_overs(desk: Desk) -> Finding[Desk]:
    left = list(_left(desk))
    size = sum(path.stat().st_size for each in left for path in each.rglob("*") if path.is_file())
    return LEFT.seen(n=len(left), megabytes=size / 1e6) if left else Finding("nothing half-written")


def _shared(desk: Desk) -> list[Path]:
    holding = (desk.settings.env_file, desk.settings.queue_config)
    return [path for path in holding if path.is_file() and path.stat().st_mode & OTHERS]


def _open_to_others(desk: Desk) -> Iterator[Path]:
    """What others can read, enter or write; nothing lies open in a folder that they may not enter.

    Links are not followed; files with secrets have a check of their own.
    """
    others = {desk.settings.models_dir, *_shared(desk)}
    folders = [desk.settings.home]
    while folders:
        folder = folders.pop()
        if _rights(folder):
            yield folder
        if _rights(folder) & ENTER:
            inside = [path for path in sorted(folder.iterdir()) if path not in others and not path.is_symlink()]
            folders += [path for path in inside if path.is_dir()]
            yield from (path for path in inside if not path.is_dir() and _rights(path))


def _rights(path: Path) -> int:
    """What everybody but the owner may do."""
    try:
        return path.lstat().st_mode & OTHERS
    except FileNotFoundError:  # a temporary file that is gone by now
        return 0


def _names(paths: list[Path]) -> str:
    return " ".join(map(str, paths))


def _left(desk: Desk) -> Iterator[Path]:
    """Of projects that nobody trains now; also of those that are connected no more."""
    for root in desk.settings.projects_dir.glob("*/"):
        if not desk.queue.leased("retrain", root.name):
            yield from ProjectFolder(root).unfinished()


CHECKS: tuple[Check[Desk], ...] = (
    Check("state folder", folder, (READ_ONLY,)),
    Check("disk", disk, (FULL,)),
    Check("secrets", secrets, (READABLE,)),
    Check("private", private, (OPEN,), needs=("state folder",)),
    Check(DATABASE, database, (NO_DATABASE,)),
)
LEFT_OVERS: tuple[Check[Desk], ...] = (Check("left-overs", left_overs, (LEFT,), needs=("queue",)),)
