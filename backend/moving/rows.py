"""A row of a file to a task: its identity, its text, its label; or why it cannot become one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from backend.core.errors import BadInputError
from backend.core.labels import spelled
from backend.core.spellings import Spellings
from backend.labelstudio.schema import COLUMN_KEY, ID_KEY, IMPORTED, TOP_KEY, Control
from backend.labelstudio.wire import Json, choice, shown_data, value_at
from backend.moving.cells import OWN, fingerprint, text_fingerprint
from backend.moving.columns import as_data, is_export, set_aside, without_added
from backend.rows.cells import as_cell
from backend.rows.identity import identity_of, text_problem
from backend.rows.names import ID, LABEL, TEXT, Names, column_named, differ, listed
from backend.rows.records import Record, Reject

MAX_ID = 200  # characters: an identity is a name, and stands in every index

LabelsAs = Literal["predictions", "annotations"]
LABELS_AS: tuple[LabelsAs, ...] = ("predictions", "annotations")


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be a task."""

    number: int
    identity: str
    data: Json  # of the task, prelabel_id included
    label: str  # a value of the label config; empty for none
    fingerprint: bytes
    unlabelled: bytes  # the fingerprint that it would have without its column of labels
    text: bytes  # the fingerprint of its text alone
    id: str = ""  # as the column `id` has it, where that is not taken for the identity
    retold: bool = False  # by an export of Label Studio's, which puts its own columns over those of the data


@dataclass(frozen=True)
class RowReader:
    """Reads rows for one project.

    Args:
        occurrence: how often a digest was asked for by now, this time included; texts repeat in real files.
    """

    control: Control
    names: Names
    occurrence: Callable[[str], int]
    spellings: Spellings = field(default_factory=Spellings)  # of the labels that were read
    _checked: list[int] = field(default_factory=list, init=False)  # the first row that could be read

    def read(self, record: Record) -> Row | Reject:
        """A row, or why it is none.

        Raises:
            BadInputError: the first row that can be read lacks a column that was named, or the text's.
        """
        if record.problem:
            return Reject(record.number, record.problem)
        columns = without_added(record.columns) if is_export(record.columns) else dict(record.columns)
        if not self._checked:
            self._require_columns(record, columns)
            self._checked.append(record.number)
        given, text = self._given_id(columns), self._text_column(columns)
        lacking = f"must have the column {self._text_name()!r}; add it"
        problem = text_problem(columns, value_at(columns, text)) if text else lacking
        if problem or not text:
            return Reject(record.number, problem, given)
        given_label = self._given_label(record, columns)
        try:
            label = self._label(given_label)
        except BadInputError as err:
            return Reject(record.number, str(err), given)
        if label is None:
            reason = "label must be one of the label config; correct it, or add it there"
            return Reject(record.number, reason, given, spelled(given_label))
        return self._row(record.number, columns, text, label, retold=record.retold)

    def remarks(self, record: Record) -> list[str]:
        """What whoever imports should know of how the columns of a row are understood."""
        columns = without_added(record.columns) if is_export(record.columns) else dict(record.columns)
        text, label = self._text_column(columns), self._label_column(columns)
        told = [
            f"the column {name!r} stays as {kept!r} in Label Studio, where {self.control.text_key!r} is the text; an "
            "export gives it its own name back"
            for name, kept in set_aside(columns, text or "", self.control.text_key).items()
        ]
        for found, name in ((text, self._text_name()), (label, self.names.label or LABEL)):
            told += [f"the column {found!r} is taken for {name!r}"] if found and differ(found, name) else []
        return told

    def _row(
        self, number: int, columns: Mapping[str, Any], text: str, label: str, *, retold: bool
    ) -> Row | Reject:  # fmt: skip
        read = value_at(columns, text)
        identity = identity_of(self._given_id(columns), as_cell(read), self.occurrence)
        if len(identity) > MAX_ID:
            return Reject(number, f"the id must have at most {MAX_ID} characters, has {len(identity)}; shorten it")
        kept = {name: value for name, value in columns.items() if name not in OWN}
        data = as_data(kept, text, self.control.text_key)
        shown = {TOP_KEY: shown_data(None, self.control)[TOP_KEY]} if self.control.dynamic else {}
        label_column = self._label_column(columns)
        others = {name: value for name, value in data.items() if name != label_column}
        return Row(
            number, identity, {**data, **shown, ID_KEY: identity}, label, fingerprint(data, identity),
            fingerprint(others, identity), text_fingerprint(read), self._plain_id(columns, identity), retold,
        )  # fmt: skip

    def _plain_id(self, columns: Mapping[str, Any], identity: str) -> str:
        found = as_cell(columns.get(ID)) if self.names.no_id or self.names.id_prefix else ""
        return "" if found == identity else found

    def _require_columns(self, record: Record, columns: Mapping[str, Any]) -> None:
        named = self.names.label if record.label is None else ""
        wanted = (self.names.id, named, "" if self._text_column(columns) else self._text_name())
        for name in filter(None, wanted):
            if column_named(record.columns if name == named else columns, name) is None:
                problem = f"the rows must have the column {name!r}, have {listed(columns)}"
                raise BadInputError(f"{problem}; name it, or add it")

    def _text_name(self) -> str:
        return self.names.text or TEXT

    def _text_column(self, columns: Mapping[str, Any]) -> str | None:
        """The one that was named; else what an export says, the key of the label config, `text`.

        The key may be a path such as `msg.body`, which then stands for the column.
        """
        if self.names.text:
            return column_named(columns, self.names.text)
        told = columns.get(COLUMN_KEY)
        key = self.control.text_key
        if isinstance(told, str) and told in columns:
            return told
        if found := column_named(columns, key):
            return found
        return column_named(columns, TEXT) if value_at(columns, key) is None else key

    def _label_column(self, columns: Mapping[str, Any]) -> str | None:
        found = column_named(columns, self.names.label or LABEL)
        return None if found == self._text_column(columns) else found

    def _given_id(self, columns: Mapping[str, Any]) -> str:
        """What a file says a row is; empty where it says nothing. An export's own word goes before its column `id`."""
        if self.names.no_id:
            return ""
        kept = "" if self.names.id else as_cell(columns.get(ID_KEY))
        named = column_named(columns, self.names.id) if self.names.id else ID
        given = as_cell(columns.get(named or ""))
        return kept or (f"{self.names.id_prefix}{given}" if given else "")

    def _label(self, given: object) -> str | None:
        """Empty for no label; None for one that the label config does not have."""
        value = self.control.labels.value_of(given)
        if value:
            self.spellings.add(given)
        return value

    def _given_label(self, record: Record, columns: Mapping[str, Any]) -> object:
        """The label as it stands there."""
        if record.label is not None:
            return record.label
        source = record.columns if self.names.label else columns  # named, an export's own label may be meant
        return source.get(self._label_column(source) or "")


def as_task(row: Row, control: Control, labels_as: LabelsAs) -> Json:
    """A row as Label Studio imports it. A label that came with the data is nobody's word: no ground truth, no score."""
    task: Json = {"data": row.data}
    if row.label:
        result = [choice(control, row.label)]
        given = {"result": result, "model_version": IMPORTED}
        task[labels_as] = [given if labels_as == "predictions" else {"result": result, "ground_truth": False}]
    return task
