"""What doctor says of choices that nobody can tell apart, and of a list without a choice."""

from pathlib import Path

import pytest

from backend.connection.doctor.project import of_choices
from backend.labelstudio.schema import Control, read_config

CASES = [
    ("all differ", ["refund", "bug"], True, "no two look alike"),
    (
        "a case",
        ["Refund", "refund"],
        True,
        'these look alike and are different ones: "Refund" and "refund"',
    ),
    (
        "a blank at the edge",
        ["refund", "refund "],
        False,
        'where nobody sees it: "refund" and "refund "',
    ),
    ("a sign of no width", ["bug", "b\u200bug"], False, '"bug" and "b\\u200bug"'),
    ("one alone", ["refund"], False, "c offers one choice, so that nothing is ticked"),
    ("one beside none of these", ["refund", "other"], True, "no two look alike"),
]


@pytest.mark.parametrize(("case", "labels", "well", "says"), CASES)
def test_choices_that_read_the_same_are_named(case: str, labels: list[str], well: bool, says: str) -> None:
    listed = "".join(f'<Choice value="{label}"/>' for label in labels)
    text = '<Text name="t" value="$text"/>'
    control = read_config(f'<View>{text}<Choices name="c" toName="t">{listed}</Choices></View>')
    assert isinstance(control, Control)
    found = of_choices(control, Path("settings.toml"))
    assert (found.fault is None, says in found.text) == (well, True)
