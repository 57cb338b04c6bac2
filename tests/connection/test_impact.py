"""Impact against numbers worked by hand."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from backend.connection.impact import impact_of, write_page
from backend.ledger import Accepted

ids = count(1)


def accepted(how: str, label: str, seconds: float | None, **changes: Any) -> Accepted:
    number = next(ids)
    fields = {
        "task_id": number, "annotation_id": number, "annotation_updated_at": "t", "annotator": 1, "label": label,
        "how": how, "lead_time_s": seconds, "version": "pl-1", "generation": 0, "shown_label": "a", "confidence": 0.9,
        "stage": "classify",
    }  # fmt: skip
    return Accepted(**{**fields, **changes})


ROWS = [
    accepted("seen", "a", 2.0),
    accepted("seen", "a", 4.0, version="pl-0-aaaaaaaa"),
    accepted("seen", "b", 9.0),  # edited
    accepted("blind", "b", 10.0, shown_label=""),
    accepted("unaided", "a", 6.0, shown_label=""),
    accepted("bulk", "a", None),
    accepted("seen", "", 5.0),  # a skip
]


def test_ticks_are_compared_with_tasks_that_had_none() -> None:
    impact = impact_of("p", ROWS)
    everything = impact.all
    assert (everything.n, everything.n_shown, everything.n_kept) == (6, 3, 2)
    assert (everything.n_bulk, everything.n_without) == (1, 2)
    assert (everything.kept_s, everything.edited_s, everything.without_s) == (3.0, 9.0, 8.0)
    assert everything.acceptance == pytest.approx(2 / 3)
    assert everything.saved_s == pytest.approx(2 * (8 - 3) + 1 * (8 - 9))


def test_versions_come_oldest_first_and_labels_by_frequency() -> None:
    impact = impact_of("p", ROWS)
    assert [part.name for part in impact.by_version] == ["pl-0-aaaaaaaa", "pl-1"]
    assert [(part.name, part.n) for part in impact.by_label] == [("a", 4), ("b", 2)]


def test_too_few_tasks_to_compare_with_are_told() -> None:
    assert "only 2 tasks without a tick" in impact_of("p", ROWS).caution
    many = [accepted("blind", "a", 5.0, shown_label="") for _ in range(10)]
    assert impact_of("p", many).caution == ""


def test_nothing_accepted_yet_is_no_error(tmp_path: Path) -> None:
    impact = impact_of("p", [])
    assert impact.all.cells() == ("all", "0", "0", "-", "0", "0", "-", "-", "-", "-")
    write_page(tmp_path, impact)
    assert (tmp_path / "impact.png").stat().st_size > 1000


def test_the_page_shows_labels_as_text_and_never_as_markup(tmp_path: Path) -> None:
    write_page(tmp_path, impact_of("<b>p</b>", [*ROWS, accepted("seen", "<script>", 1.0)]))
    page = (tmp_path / "impact.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "67%" not in page, "with the new one it is 2 of 4"
    assert "50%" in page
