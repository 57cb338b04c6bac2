"""Values that the Data Manager's action writes into many tasks, read as Label Studio reads them."""

import json
from typing import Any

import pytest

from backend.labelstudio.expressions import data_field

VALUES: list[tuple[str, Any]] = [
    ("nothing", ""),
    ("words", "closest to refund, 93 %"),
    ("labels", [{"value": "refund"}, {"value": "parcel", "html": "the <b>parcel</b>"}]),
    ("signs of the expression", [{"value": "a (b), [c]; 'd' \"e\" \\ é 雪 \u2028"}]),
    ("no labels", []),
]


def as_label_studio_reads(expression: str) -> list[Any]:
    """Its own parser: data_manager.actions.experimental.add_expression of 1.23.2."""
    command, arguments = expression.split("(")
    arguments = _commas_hidden(arguments).replace(")", "")
    parts = [part.replace(";", ",").replace("'", '"') for part in arguments.split(",")]
    assert (command, len(parts)) == ("choices", 1)
    return list(json.loads(parts[0]))


def _commas_hidden(params: str) -> str:
    start, end = params.find("["), -1
    while start != end:
        end = start + params[start:].find("]") + 1
        params = params[0:start] + params[start:end].replace(",", ";") + params[end:]
        start = end + params[end:].find("[") + 1
    return params


@pytest.mark.parametrize("value", [row[1] for row in VALUES], ids=[row[0] for row in VALUES])
def test_whatever_a_value_holds_is_what_all_tasks_get(value: Any) -> None:
    asked = data_field("prelabel_top", value)
    assert (asked["value_name"], asked["value_type"]) == ("prelabel_top", "Expression")
    assert as_label_studio_reads(asked["value"]) == [value]
