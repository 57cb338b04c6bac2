"""The disk that the state lies on: whether it has room, and what is said where it takes no write."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from backend.core.errors import StateError

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700  # rights of everything in the state folder
OTHERS = 0o077  # the rights of everybody but the owner
ROOM_BYTES = 200_000_000  # a model of some ten thousand examples, and the export it is made from
LEAST_FREE_BYTES = 5 * ROOM_BYTES  # some trainings and pushes ahead
LEAST_FREE_SHARE = 0.05
ENOUGH_BYTES = 20_000_000_000  # whatever the share: 5 % of a large disk are no reason to wake anybody
REFUSALS = {  # why the system takes no write -> what to do
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the quota is used up; free some space",
    errno.EROFS: "the file system is read-only; mount it writable",
    errno.EACCES: "it is not allowed; give this user the right to write",
    errno.EPERM: "it is not allowed; give this user the right to write",
    errno.EFBIG: "files may not be that large; raise the limit",
    errno.EEXIST: "a part of that path is a file; choose another",
    errno.ENOENT: "there is no such folder, and none can be made; choose another",
    errno.ENOTDIR: "a part of that path is a file; choose another",
    errno.EISDIR: "there is a folder of that name; choose another",
}


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of a folder, in bytes."""

    free: int
    size: int

    @property
    def share_free(self) -> float:
        return self.free / self.size

    @property
    def nearly_full(self) -> bool:
        """Whether somebody should make room before anything is refused."""
        scarce = self.share_free < LEAST_FREE_SHARE and self.free < ENOUGH_BYTES
        return scarce or self.free < LEAST_FREE_BYTES


def disk_of(folder: Path) -> Disk:
    usage = shutil.disk_usage(folder)
    return Disk(usage.free, usage.total)


def require_room(folder: Path) -> None:
    """Raises StateError before anything is computed that could not be kept."""
    free = disk_of(folder).free
    if free < ROOM_BYTES:
        asked = f"{folder} must have {ROOM_BYTES / 1e6:.0f} MB free, has {free / 1e6:.0f}"
        raise StateError(f"{asked}; free some space")


@contextmanager
def writing(where: Path) -> Iterator[None]:
    """Raises StateError where the system takes no write."""
    try:
        yield
    except OSError as err:
        if err.errno not in REFUSALS:
            raise
        raise StateError(f"{where} must take what is written, but {REFUSALS[err.errno]}") from err


@cache
def users_umask() -> int:
    """The umask that this process was started with."""
    umask = os.umask(OTHERS)
    os.umask(umask)
    return umask


def keep_private() -> None:
    """From here on what this process and its children make is for this user alone, whoever's library makes it."""
    users_umask()  # remembered before it is gone
    os.umask(OTHERS)


def hand_over(path: Path) -> None:
    """Give a file that a user asked for, or a folder with all that is in it, the rights of the user's umask."""
    for each in (path, *path.rglob("*")):
        if not each.is_symlink():
            each.chmod((0o777 if each.is_dir() else 0o666) & ~users_umask())


def users_folder(path: Path) -> Path:
    """A folder that a user named, made with those above it where they are missing."""
    for folder in reversed((path, *path.parents)):
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777 & ~users_umask())
    return path
