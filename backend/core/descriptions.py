"""Descriptions of labels: written by a language model, edited and approved by a person, then used as hints.

Decides what a line of a file of descriptions must hold and which labels a description speaks for: those whose label
config gives no hint. Knows nothing of who writes them.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import regex

from backend.core.errors import BadInputError
from backend.core.labels import LabelNames
from backend.core.types import LabelSpace

FORMAT = 1
MAX_HINT = 1_000  # characters: an embedding reads no more than about that
UNWRITABLE = regex.compile(r"[\p{Cc}\p{Cs}\uFFFE\uFFFF]")  # XML has no way to write most of them
NEEDED = ("format", "label", "description", "approved")


@dataclass(frozen=True, slots=True)
class Description:
    """One line of a file of descriptions."""

    label: str  # a value of the label space
    description: str  # what texts with this label want; one line
    differences: Mapping[str, str] = field(default_factory=dict)  # another label -> how to tell the two apart
    not_in_examples: tuple[str, ...] = ()  # words of the model's that no name, hint or example has
    approved: bool = False  # by a person; only such lines are used
    made_by: Mapping[str, str | int] = field(default_factory=dict)  # model, prompt (hash), k
    format: int = FORMAT

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def descriptions_from(text: str, *, where: str) -> tuple[Description, ...]:
    """The lines of a file, in order.

    Args:
        where: the file, for messages.

    Raises:
        BadInputError: a line is no JSON object, lacks an entry, has an unknown one or one of another type, or a label
            has two lines.
    """
    found: dict[str, Description] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        described = _description(_object(line, f"{where} line {number}"), f"{where} line {number}")
        if described.label in found:
            raise BadInputError(
                f"{where} line {number}: a label must have one line, {described.label!r} has two; remove one"
            )
        found[described.label] = described
    return tuple(found.values())


def fitting(descriptions: Sequence[Description], space: LabelSpace) -> tuple[Description, ...]:
    """The approved ones, with the space's own values of their labels.

    Raises:
        BadInputError: a line names a label that the space does not have, or none is approved.
    """
    names = LabelNames(replace(space, oos_value=""))
    fit = [_fit(each, names) for each in descriptions]
    approved = tuple(each for each in fit if each.approved)
    if not approved:
        raise BadInputError(
            f"at least one of the {len(descriptions)} descriptions must be approved, none is; read and edit them, then"
            ' write "approved": true'
        )
    return approved


def _fit(description: Description, names: LabelNames) -> Description:
    differences = {_value(label, names): told for label, told in description.differences.items()}
    return replace(description, label=_value(description.label, names), differences=differences)


def _value(label: str, names: LabelNames) -> str:
    value = names.value_of(label)
    if not value:
        raise BadInputError(
            f"descriptions must be of labels of the label config, {label!r} is none (none of these has"
            " none either); correct its name or remove the line"
        )
    return value


def described(space: LabelSpace, descriptions: Iterable[Description]) -> LabelSpace:
    """The space with descriptions as the hints of those labels that have none."""
    names = LabelNames(space)
    hints = {names.value_of(each.label): each.description for each in descriptions}
    return replace(
        space, labels=tuple(replace(label, hint=label.hint or hints.get(label.value, "")) for label in space.labels)
    )


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as err:
        raise BadInputError(f"{where} must be a JSON object, but is no JSON; correct or remove the line") from err
    if not isinstance(found, dict):
        raise BadInputError(f"{where} must be a JSON object, was of type {type(found).__name__}")
    return found


def _description(entries: dict[str, Any], where: str) -> Description:
    known = [each.name for each in fields(Description)]
    for name in NEEDED:
        if name not in entries:
            raise BadInputError(f"{where} must have the entry {name!r}, has {', '.join(entries) or 'none'}; add it")
    for name, value in entries.items():
        if name not in known:
            raise BadInputError(f"{where} must have no entries but {', '.join(known)}, has {name!r}; remove it")
        kind, holds = TYPES[name]
        if not holds(value):
            raise BadInputError(f"{where}: {name} must be {kind}, was {value!r}; correct it")
    description = " ".join(entries["description"].split())
    _check_written(description, where, approved=entries["approved"])
    words = tuple(entries.get("not_in_examples", ()))
    return Description(**{**entries, "description": description, "not_in_examples": words})


def _check_written(description: str, where: str, *, approved: bool) -> None:
    if approved and not description:
        raise BadInputError(
            f'{where}: an approved description must hold a word, is empty; write it, or "approved": false'
        )
    if len(description) > MAX_HINT:
        raise BadInputError(
            f"{where}: description must have at most {MAX_HINT} characters, has {len(description)}; shorten it"
        )
    if UNWRITABLE.search(description):
        raise BadInputError(f"{where}: description must hold no control characters; remove them")


def _is_dict(value: object, *kinds: type) -> bool:
    return isinstance(value, dict) and all(type(each) in kinds for each in value.values())


TYPES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "label": ("a label's value", lambda value: isinstance(value, str) and bool(value)),
    "description": ("a string", lambda value: isinstance(value, str)),
    "differences": ("an object of strings", lambda value: _is_dict(value, str)),
    "not_in_examples": (
        "a list of words",
        lambda value: isinstance(value, list) and all(isinstance(word, str) for word in value),
    ),
    "approved": ("true or false", lambda value: isinstance(value, bool)),
    "made_by": ("an object of strings and whole numbers", lambda value: _is_dict(value, str, int)),
    "format": (f"{FORMAT}, the format that this prelabel reads", lambda value: type(value) is int and value == FORMAT),
}  # entry -> what it must be
