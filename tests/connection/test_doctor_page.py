"""The page about doctor says what the checks say."""

from collections import Counter
from typing import Any

from backend.connection.doctor.check import Check
from backend.connection.doctor.examination import CALLED, HOST, POLLED, PROJECT
from tests.connection.doctor_page import PAGE, page


def test_the_page_lists_every_check_as_it_is() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it again: python -m tests.connection.doctor_page"


def test_every_check_has_a_name_of_its_own_and_faults_with_a_remedy() -> None:
    for way in (CALLED, POLLED):
        checks: tuple[Check[Any], ...] = (*HOST, *PROJECT, *way)
        assert Counter(check.name for check in checks).most_common(1)[0][1] == 1
        assert all(check.faults and all(fault.remedy for fault in check.faults) for check in checks)
        known = {check.name for check in checks}
        assert all(set(check.needs) <= known for check in checks)
