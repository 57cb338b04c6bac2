"""Columns of a file and keys of task data: under which name a column goes in and comes out.

Two things may want the same name: a column that an export adds, and the key that the label config reads its text from.
The user's column is then kept as `imported_<name>`, and comes back under its own.
"""

from collections.abc import Collection, Mapping
from typing import Any

from backend.labelstudio.schema import COLUMN_KEY
from backend.labelstudio.wire import value_at
from backend.rows.added import read_back, written

LABEL = "label"
SPLIT = "export_split"
ADDED = (
    "task_id", LABEL, "annotator_id", "created_at", "updated_at", "lead_time_s", "predicted_label", "confidence",
    "model_version", "changed", "how_accepted", "agreement",
)  # fmt: skip
TAKEN = (*ADDED, SPLIT)  # names that an export needs for itself


def is_export(columns: Mapping[str, Any]) -> bool:
    """Whether a row was written by an export: it has every added column."""
    return all(name in columns for name in ADDED)


def with_added(data: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row of an export: the data's first."""
    return {**{written(name, TAKEN): value for name, value in data.items()}, **added}


def without_added(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a row of an export."""
    own = {name: value for name, value in columns.items() if name not in TAKEN}
    return {read_back(name, TAKEN): value for name, value in own.items()}


def as_data(columns: Mapping[str, Any], text: str, key: str) -> dict[str, Any]:
    """Columns as task data: the text under the key that the label config reads, and its column's name beside it."""
    if text == key:
        return dict(columns)
    named = {key if name == text else written(name, (key,)): value for name, value in columns.items()}
    return {**named, COLUMN_KEY: text}


def as_columns(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Task data as columns: the text under its column's name again, which COLUMN_KEY keeps telling."""
    text = data.get(COLUMN_KEY)
    if not isinstance(text, str) or text == key:
        return dict(data)
    return {text if name == key else read_back(name, (key,)): value for name, value in data.items()}


def text_in(row: Mapping[str, Any], key: str) -> Any:
    """The text of a row of an export, under its column's name or where the label config reads it."""
    named = row.get(COLUMN_KEY)
    return value_at(row, written(named, TAKEN) if isinstance(named, str) else key)


def set_aside(columns: Collection[str], text: str, key: str) -> dict[str, str]:
    """Columns that `as_data` keeps under another name, and that name."""
    others = {} if text == key else {name: written(name, (key,)) for name in columns if name != text}
    return {name: kept for name, kept in others.items() if kept != name}
