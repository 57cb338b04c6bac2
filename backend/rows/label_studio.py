"""Label Studio's own exports as rows of texts with labels: its JSON, and its JSON_MIN and CSV, a row an annotation.

What several people say of a task becomes one label by the rule of the training set (backend.core.agreement): the
latest annotation of each, skips left out, then the majority; a tie is no label.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from backend.core.agreement import latest_of_each, majority
from backend.rows.cells import as_cell
from backend.rows.json_text import parsed
from backend.rows.limits import UnreadableRowError
from backend.rows.opening import Report
from backend.rows.records import Record

SEVERAL = ('{"choices":', '[{"choices":')  # how CSV begins a cell of several labels
ABOUT = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time")
OF_ANNOTATIONS = frozenset((*ABOUT, "id"))  # columns that JSON_MIN and CSV have, whatever the project
OF_TASKS = frozenset(("annotations", "predictions", "drafts", "completions"))
OF_DATA = "_data_"  # before a column of the data that bears a control's name, in CSV
LABEL = "label"


@dataclass(frozen=True, slots=True)
class Word:
    """What one annotation says."""

    id: int  # its place among those of the task, in time
    completed_by: Any
    updated_at: str
    was_cancelled: bool
    label: Any  # empty, one, or a list of several
    truth: bool = False  # a person marked it as the ground truth
    submitted: bool = True  # by the person: neither accepted with many others nor imported
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Exports:
    """Makes one record of a task out of the records of an export; leaves those of other files as they are.

    Args:
        label: the control, or the column, that holds the label; empty for the only one, or `label`.
    """

    label: str
    report: Report
    n_ties: int = 0
    n_folded: int = 0

    def records(self, records: Iterable[Record]) -> Iterator[Record]:
        """The records, in order; tells what was folded and who disagrees at the end."""
        seen: set[str] = set()
        for (task, _), group in groupby(records, self._task_of):
            if task and task in seen:
                yield from (
                    Record(each.number, {}, "the rows of one task must stand together; sort the file by id")
                    for each in group
                )
            elif task:
                seen.add(task)
                yield self._folded(list(group))
            else:
                yield from map(self._of_task, group)
        if self.n_folded:
            self.report(f"{self.n_folded} rows are further annotations of a task: the latest of each person counts")
        if self.n_ties:
            self.report(f"people disagree evenly on {self.n_ties} tasks: these come without a label")

    def _task_of(self, record: Record) -> tuple[str, int]:
        """What the rows of one task have in common; the number of the row where it is no row of an annotation."""
        task = as_cell(record.columns.get("id")) if record.columns.keys() >= OF_ANNOTATIONS else ""
        return task, 0 if task else record.number

    def _folded(self, group: list[Record]) -> Record:
        self.n_folded += len(group) - 1
        column = self.label or LABEL
        words = [
            Word(
                place, as_cell(each.columns["annotator"]) or place, as_cell(each.columns["updated_at"]),
                was_cancelled=False, label=_choice(each.columns.get(column, "")),
                about={name: each.columns[name] for name in ABOUT},
            )
            for place, each in enumerate(group)
        ]  # fmt: skip
        first = group[0]
        columns = {name: value for name, value in first.columns.items() if name not in ABOUT}
        if f"{OF_DATA}{column}" in columns:
            columns[column] = columns.pop(f"{OF_DATA}{column}")
        annotated = any(as_cell(each.columns["annotation_id"]) for each in group)
        if annotated and not any(column in each.columns for each in group):  # the column has another name
            return replace(first, columns=columns, about=words[0].about, retold=True)
        return self._labelled(replace(first, columns=columns, retold=True), words)

    def _of_task(self, record: Record) -> Record:
        data = record.columns.get("data")
        if not isinstance(data, dict) or not record.columns.keys() & OF_TASKS:
            return record
        raw = record.columns.get("annotations") or record.columns.get("completions") or ()
        annotations = [each for each in raw if isinstance(each, dict)] if isinstance(raw, list) else []
        controls = {name for each in annotations for name in _choices(each)}
        control = self.label or (LABEL if LABEL in controls else next(iter(controls), ""))
        if len(controls) > 1 and not self.label and LABEL not in controls:
            names = ", ".join(sorted(controls))
            return Record(record.number, {}, f"the labels are of several controls, {names}: say which with --label")
        words = [_word(place, each, control) for place, each in enumerate(annotations)]
        return self._labelled(replace(record, columns=data), words)

    def _labelled(self, record: Record, words: list[Word]) -> Record:
        """The record with the label that counts; a label that is a list of several is left as it is."""
        latest = [word for word in latest_of_each(words) if word.label not in ("", None)]
        several = next((word for word in latest if not isinstance(word.label, str | int | float)), None)
        if several is not None:
            return replace(record, label=several.label, about=several.about)
        voices = [word for word in latest if word.truth] or latest
        label = majority(as_cell(word.label) for word in voices)
        self.n_ties += label is None and bool(voices)
        agreeing = [word for word in voices if as_cell(word.label) == label]
        newest = max(agreeing, key=lambda word: (word.updated_at, word.id), default=None)
        return replace(record, label=label or "", about=newest.about if newest else {})


def _choice(value: Any) -> Any:
    """What a column of JSON_MIN or CSV says: one label, or the list of several."""
    if isinstance(value, str) and value.startswith(SEVERAL):
        with suppress(UnreadableRowError):
            value = parsed(value)
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return value
    return [choice for each in value if isinstance(each, dict) for choice in each.get("choices") or ()] or ""


def _choices(annotation: Mapping[str, Any]) -> Counter[str]:
    """How many choices each control has in an annotation."""
    regions = annotation.get("result") or ()
    return Counter(
        str(region.get("from_name"))
        for region in (regions if isinstance(regions, list) else ())
        if isinstance(region, dict) and isinstance(region.get("value"), dict) and "choices" in region["value"]
    )


def _word(place: int, annotation: Mapping[str, Any], control: str) -> Word:
    person = annotation.get("completed_by")
    author = person.get("id") or person.get("email") if isinstance(person, dict) else person
    chosen = [
        choice
        for region in annotation.get("result") or ()
        if isinstance(region, dict) and region.get("from_name") == control and isinstance(region.get("value"), dict)
        for choice in region["value"].get("choices") or ()
    ]
    return Word(
        place, author or f"annotation {place}", as_cell(annotation.get("updated_at")),
        was_cancelled=bool(annotation.get("was_cancelled") or annotation.get("skipped")),
        label=chosen[0] if len(chosen) == 1 else chosen or "",
        truth=bool(annotation.get("ground_truth")) and annotation.get("updated_by") is not None,
        submitted=annotation.get("updated_by") is not None,
        about={name: annotation.get(name) for name in ("created_at", "updated_at", "lead_time")},
    )  # fmt: skip
