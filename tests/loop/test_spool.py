"""What lies between computing and pushing, and what a killed writer leaves of it."""

from pathlib import Path

import pytest

from backend.core.errors import StateError
from backend.loop.spool import BLOCK, Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", "pl-1")


def rows(*tasks: int, padding: int = 0) -> list[dict[str, object]]:
    return [{"task": task, "label": "возврат\u2028", "padding": "x" * padding} for task in tasks]


def test_an_empty_spool_holds_nothing(spool: Spool) -> None:
    assert (list(spool.rows()), spool.count(), spool.last_task()) == ([], 0, 0)


@pytest.mark.parametrize("padding", [0, BLOCK, BLOCK - 1], ids=["short rows", "rows of a block", "just under"])
def test_rows_come_back_in_order_and_the_last_one_tells_where_to_go_on(spool: Spool, padding: int) -> None:
    spool.append(rows(3, 5, padding=padding))
    spool.append(rows(8, padding=padding))
    assert list(spool.rows()) == rows(3, 5, 8, padding=padding)
    assert (spool.count(), spool.last_task()) == (3, 8)


@pytest.mark.parametrize("half", [b'{"task": 9', b'{"task": 9, "padding": "' + b"x" * 2 * BLOCK], ids=["short", "long"])
def test_half_a_row_of_a_killed_writer_is_neither_read_nor_kept(spool: Spool, half: bytes) -> None:
    spool.append(rows(3, 5))
    with spool.file.open("ab") as file:
        file.write(half)
    assert (list(spool.rows()), spool.count(), spool.last_task()) == (rows(3, 5), 2, 5)
    spool.append(rows(7))
    assert list(spool.rows()) == rows(3, 5, 7)


def test_half_a_row_alone_is_nothing(spool: Spool) -> None:
    spool.folder.mkdir()
    spool.file.write_bytes(b'{"task": 9')
    assert (list(spool.rows()), spool.last_task()) == ([], 0)


def test_what_was_pushed_is_cleared(spool: Spool) -> None:
    spool.append(rows(3))
    spool.begin()
    assert spool.begun.exists()
    spool.clear()
    assert list(spool.folder.iterdir()) == []


def test_a_state_folder_that_takes_no_rows_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="a part of that path is a file; choose another"):
        Spool(tmp_path / "file" / "spool", "pl-1").append(rows(3))
