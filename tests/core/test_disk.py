"""When a disk counts as nearly full, which health, doctor and the alert all mean the same by."""

import pytest

from backend.core.disk import Disk

DISKS = [
    ("half free", 500e9, 1000e9, False),
    ("4 % of a large one, which is plenty", 40e9, 1000e9, False),
    ("4 % of a smaller one", 4e9, 100e9, True),
    ("a small one, half free", 0.9e9, 2e9, True),
    ("full", 0, 1000e9, True),
]


@pytest.mark.parametrize(("free", "size", "full"), [row[1:] for row in DISKS], ids=[row[0] for row in DISKS])
def test_a_disk_is_nearly_full_where_little_is_left_in_bytes_and_in_share(free: float, size: float, full: bool) -> None:
    assert Disk(int(free), int(size)).nearly_full is full
