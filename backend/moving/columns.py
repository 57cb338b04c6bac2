"""The columns that an export adds, and how an import knows them again.

A column of the data that bears the name of an added one is written as `imported_<name>`, and read back under its own.
"""

from collections.abc import Mapping
from typing import Any

LABEL = "label"
SPLIT = "export_split"
ADDED = (
    "task_id", LABEL, "annotator_id", "created_at", "updated_at", "lead_time_s", "predicted_label", "confidence",
    "model_version", "changed", "how_accepted", "agreement",
)  # fmt: skip
ORIGINAL = "imported_"


def is_export(columns: Mapping[str, Any]) -> bool:
    """Whether a row was written by an export: it has every added column."""
    return all(name in columns for name in ADDED)


def with_added(data: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row of an export: the data's first."""
    own = {f"{ORIGINAL}{name}" if _clashes(name) else name: value for name, value in data.items()}
    return {**own, **added}


def without_added(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a row of an export."""
    data = {name: value for name, value in columns.items() if name not in ADDED and name != SPLIT}
    return {name.removeprefix(ORIGINAL) if _clashes(name) else name: value for name, value in data.items()}


def _clashes(name: str) -> bool:
    """Whether a column bears the name of an added one, or of one that was renamed before."""
    while name.startswith(ORIGINAL):
        name = name.removeprefix(ORIGINAL)
    return name in ADDED or name == SPLIT
