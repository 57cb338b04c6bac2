"""A row of a file to a task: its identity, its text, its label; or why it cannot become one."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from backend.core.errors import BadInputError
from backend.labelstudio.schema import ID_KEY, IMPORTED, TOP_KEY, Control
from backend.labelstudio.wire import Json, choice, shown_data
from backend.moving.cells import OWN, as_cell, as_json, fingerprint, strings_in
from backend.moving.columns import is_export, without_added
from backend.moving.reading import Record

MAX_ID = 200  # characters: an identity is a name, and stands in every index

LabelsAs = Literal["predictions", "annotations"]
LABELS_AS: tuple[LabelsAs, ...] = ("predictions", "annotations")


@dataclass(frozen=True, slots=True)
class Names:
    """Which columns hold what; empty takes the usual name."""

    text: str = ""  # else the key that the label config reads, else "text"
    id: str = ""  # else "id", where there is one
    label: str = ""  # else "label", where there is one


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be a task."""

    number: int
    identity: str
    data: Json  # of the task, prelabel_id included
    label: str  # a value of the label config; empty for none
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot."""

    number: int
    reason: str  # holds neither text nor label of the row


@dataclass(frozen=True)
class RowReader:
    """Reads rows for one project.

    Args:
        occurrence: how often a digest was asked for by now, this time included; texts repeat in real files.
    """

    control: Control
    names: Names
    occurrence: Callable[[str], int]

    def read(self, record: Record) -> Row | Reject:
        """A row, or why it is none.

        Raises:
            BadInputError: the first row lacks a column that was named, or the text's.
        """
        if record.problem:
            return Reject(record.number, record.problem)
        columns = without_added(record.columns) if is_export(record.columns) else dict(record.columns)
        key = self._text_column(record.number, columns)
        if key not in columns:
            return Reject(record.number, f"must have the column {key!r}; add it")
        problem = _problem(columns, columns[key])
        if problem:
            return Reject(record.number, problem)
        label = self._label(record.columns, columns)
        if label is None:
            return Reject(record.number, "label must be one of the label config; correct it, or add it there")
        return self._row(record.number, columns, key, label)

    def _row(self, number: int, columns: Mapping[str, Any], key: str, label: str) -> Row | Reject:
        text = columns[key]
        identity = self._identity(columns, as_cell(text))
        if len(identity) > MAX_ID:
            return Reject(number, f"the id must have at most {MAX_ID} characters, has {len(identity)}; shorten it")
        kept = {name: as_json(value) for name, value in columns.items() if name not in OWN and name != key}
        data = {**kept, self.control.text_key: text}
        shown = {TOP_KEY: shown_data(None, self.control)[TOP_KEY]} if self.control.dynamic else {}
        return Row(number, identity, {**data, **shown, ID_KEY: identity}, label, fingerprint(data, identity))

    def _text_column(self, number: int, columns: Mapping[str, Any]) -> str:
        wanted = self.names.text or (self.control.text_key if self.control.text_key in columns else "text")
        if number == 1:
            for name in (wanted, *filter(None, (self.names.id, self.names.label))):
                if name not in columns:
                    found = ", ".join(map(str, columns)) or "none"
                    raise BadInputError(f"the rows must have the column {name!r}, have {found}; name it, or add it")
        return wanted

    def _identity(self, columns: Mapping[str, Any], text: str) -> str:
        given = as_cell(columns.get(self.names.id or "id")) or as_cell(columns.get(ID_KEY))
        if given:
            return given
        digest = hashlib.sha256(text.encode()).hexdigest()
        return f"{digest}-{self.occurrence(digest)}"

    def _label(self, all_columns: Mapping[str, Any], columns: Mapping[str, Any]) -> str | None:
        """Empty for no label; None for one that the label config does not have."""
        source = all_columns if self.names.label else columns  # named, an export's own label may be meant
        given = as_cell(source.get(self.names.label or "label")).strip()
        return self._values.get(given) if given else ""

    @cached_property
    def _values(self) -> dict[str, str]:
        space = self.control.space
        names = {label.name: label.value for label in space.labels}
        if space.oos_value:
            names |= {self.control.oos_name: space.oos_value, space.oos_value: space.oos_value}
        return {**names, **{label.value: label.value for label in space.labels}}


def as_task(row: Row, control: Control, labels_as: LabelsAs) -> Json:
    """A row as Label Studio imports it. A label that came with the data is nobody's word: no ground truth, no score."""
    task: Json = {"data": row.data}
    if row.label:
        result = [choice(control, row.label)]
        given = {"result": result, "model_version": IMPORTED}
        task[labels_as] = [given if labels_as == "predictions" else {"result": result, "ground_truth": False}]
    return task


def _problem(columns: Mapping[str, Any], text: object) -> str:
    if isinstance(text, bool) or not isinstance(text, str | int | float | None):
        return f"text must be a string, was of type {type(text).__name__}"
    if not as_cell(text).strip():
        return "text must hold a character, is empty"
    for part in strings_in(dict(columns)):
        if "\0" in part:
            return "must hold no NUL character; remove it"
        if not _is_unicode(part):
            return "must be UTF-8, holds bytes or characters that are not; correct them, or say --encoding"
    return ""


def _is_unicode(part: str) -> bool:
    """Whether a string can be written: half of a surrogate pair, or a byte that was none of UTF-8, cannot."""
    try:
        part.encode()
    except UnicodeEncodeError:
        return False
    return True
