"""Label configs that prelabel writes: a list of labels to XML that an annotator can work through with the keyboard.

Two shapes. *Static*: the labels in their own order; a task needs no key of ours. *Dynamic*: the likeliest labels first,
with percent, on the keys 1 to 5; every task must hold TOP_KEY. Reads no file and knows no model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder, tostring
from xml.sax.saxutils import quoteattr

import regex
from defusedxml.ElementTree import DefusedXMLParser

from backend.core.descriptions import MAX_HINT, UNWRITABLE, Description
from backend.core.errors import BadInputError
from backend.core.labels import LabelNames, key, spelled
from backend.core.types import Label, LabelSpace
from backend.labelstudio.schema import EDITOR_KEY, LABEL_SET, OWN_KEYS, TOP_KEY, WHY_KEY, Control

CONTROL, TEXT = "label", "text"  # names of the tags
STATIC_UP_TO = 9  # labels: each has a digit of its own then, and keeps it
INLINE_FROM = 10  # labels: in one column they would not fit on the page
MAX_LABELS = 2_000  # a browser draws each of them for each task; 1,000 were tried
MAX_LABEL = 100  # characters: a choice is one line
FIND_KEY = "shift+f"
KEY = regex.compile(r"[A-Za-z0-9_]+")  # the editor shows no other


@dataclass(frozen=True, slots=True)
class Listed:
    """A label as a file gives it, before it is checked against the others."""

    where: str  # file and row, for messages
    label: Label


def listed_label(columns: Mapping[str, Any], where: str) -> Listed:
    """One row of a label file: label, and optionally alias and hint.

    Raises:
        BadInputError: the label is missing, empty, too long or cannot be written into XML.
    """
    name = _label(columns, "label", where)
    if not name:
        raise BadInputError(f"{where}: a label must have a character, is empty; fill it in or remove the row")
    if EDITOR_KEY.search(name):
        raise BadInputError(
            f"{where}: a label must not hold $ before a letter or digit, which names task data; write it otherwise"
        )
    alias = _label(columns, "alias", where)
    return Listed(where, Label(alias or name, name, _hint(columns, where)))


def _label(columns: Mapping[str, Any], column: str, where: str) -> str:
    try:
        text = spelled(columns.get(column))
    except BadInputError as err:
        raise BadInputError(f"{where}: {err}") from err
    return _writable(text, column, where, MAX_LABEL)


def _hint(columns: Mapping[str, Any], where: str) -> str:
    """A column as one line without white space around it; empty where the row lacks it."""
    value = columns.get("hint")
    if value is not None and not isinstance(value, str):
        raise BadInputError(f"{where}: hint must be a string, was of type {type(value).__name__}")
    return _writable(" ".join((value or "").split()), "hint", where, MAX_HINT)


def _writable(text: str, column: str, where: str, longest: int) -> str:
    if len(text) > longest:
        raise BadInputError(f"{where}: {column} must have at most {longest} characters, has {len(text)}; shorten it")
    if UNWRITABLE.search(text):
        raise BadInputError(f"{where}: {column} must hold no control characters; remove them")
    return text


def distinct(listed: Sequence[Listed]) -> tuple[Label, ...]:
    """The labels of a list, in order.

    Raises:
        BadInputError: there are none or too many, or two read alike or are stored alike.
    """
    if not listed:
        raise BadInputError("the label file must hold at least one label, holds none")
    if len(listed) > MAX_LABELS:
        raise BadInputError(f"labels must be at most {MAX_LABELS}, are {len(listed)}; a person cannot choose from more")
    names = [(key(item.label.name).casefold(), item.where) for item in listed]
    _check_differ(names, "labels must differ in more than case")
    values = [(key(item.label.value), item.where) for item in listed]
    _check_differ(values, "what is stored (the alias, or else the label)")
    return tuple(item.label for item in listed)


def _check_differ(spelled: Sequence[tuple[str, str]], rule: str) -> None:
    first: dict[str, str] = {}
    for spelling, where in spelled:
        if spelling in first:
            raise BadInputError(f"{rule}: {where} repeats {first[spelling]}; remove or rename one")
        first[spelling] = where


def with_hints(labels: Sequence[Label], hints: Iterable[Listed]) -> tuple[Label, ...]:
    """The labels with the hints of another list, which names each by its label or alias and wins over their own.

    Raises:
        BadInputError: a hint is for no label, or a label has two.
    """
    names = LabelNames(LabelSpace(tuple(labels)))
    given: dict[str, Listed] = {}
    for item in hints:
        value = names.value_of(item.label.name)
        if not value:
            raise BadInputError(
                f"{item.where}: a hint must be for one of the labels, this one is not; correct its label"
            )
        if value in given:
            raise BadInputError(f"a label must have one hint: {item.where} repeats {given[value].where}; remove one")
        given[value] = item
    return tuple(replace(x, hint=given[x.value].label.hint or x.hint) if x.value in given else x for x in labels)


def label_config(labels: Sequence[Label], *, text_key: str = "text", static: bool | None = None) -> str:
    """The XML of a config.

    Args:
        text_key: the key of the task's data that holds the text.
        static: the labels in their own order; None decides by their number.

    Raises:
        BadInputError: the key is none that Label Studio can read.
    """
    if not KEY.fullmatch(text_key) or text_key in OWN_KEYS:
        raise BadInputError(
            f"--text must be a key of A-Z, a-z, 0-9 and _, none of ours, was {text_key!r}: Label Studio's editor shows"
            " no other; leave it out, and say --text to `prelabel import`"
        )
    static = is_static(labels) if static is None else static
    finds = len(labels) > STATIC_UP_TO
    body = (_static if static else _dynamic)(labels)
    lines = [
        f'<Text name="{TEXT}" value="${text_key}"/>',
        f'<Header value="${WHY_KEY}" size="6" style="{WHY_STYLE}"/>',
        *([_filter()] if finds else []),
        *body,
    ]
    return "\n".join(["<View>", *(f"  {line}" for line in lines), "</View>", ""])


def hinted(xml: str, control: Control, descriptions: Iterable[Description]) -> str:
    """A config with descriptions as the hints of those choices that have none; all else stays, but for quotes.

    Args:
        control: the served one of this config.
    """
    hints = {key(each.label): each.description for each in descriptions}
    parser = DefusedXMLParser(target=TreeBuilder(insert_comments=True), forbid_dtd=True)
    parser.feed(xml)
    root: Element = parser.close()
    source = LABEL_SET if control.dynamic else control.from_name
    sources = [element for element in root.iter("Choices") if element.get("name") == source]
    for choice in (choice for element in sources for choice in element.iter("Choice")):
        hint = hints.get(key(choice.get("alias") or choice.get("value")), "")
        if hint and not choice.get("hint"):
            choice.set("hint", hint)
    return tostring(root, encoding="unicode") + "\n"


WHY_STYLE = "margin: 0.75em 8px; font-size: 0.95em; font-weight: 400; opacity: 0.8"


def is_static(labels: Sequence[Label]) -> bool:
    """What is chosen by the number of labels alone."""
    return len(labels) <= STATIC_UP_TO


def _filter() -> str:
    return (
        f'<Filter name="find" toName="{CONTROL}" hotkey="{FIND_KEY}" minlength="0"'
        ' placeholder="Find a label: Shift+F, type, Enter; then Shift+Tab, Ctrl+Enter"/>'
    )


def _static(labels: Sequence[Label]) -> list[str]:
    inline = ' showInline="true"' if len(labels) >= INLINE_FROM else ""
    choices = (f"  {_choice(label)}" for label in labels)
    return [f'<Choices {_attributes(CONTROL)} choice="single" required="true"{inline}>', *choices, "</Choices>"]


def _dynamic(labels: Sequence[Label]) -> list[str]:
    inline = ' showInline="true"' if len(labels) >= INLINE_FROM else ""
    return [
        f'<Choices {_attributes(CONTROL)} choice="single" required="true"{inline} value="${TOP_KEY}"/>',
        "<!-- The labels themselves. Hidden: the list above shows them as prelabel writes it into each task. -->",
        '<View style="display:none">',
        f"  <Choices {_attributes(LABEL_SET)}>",
        *(f"    {_choice(label)}" for label in labels),
        "  </Choices>",
        "</View>",
    ]


def _attributes(name: str) -> str:
    return f'name="{name}" toName="{TEXT}"'


def _choice(label: Label) -> str:
    alias = f" alias={quoteattr(label.value)}" if label.value != label.name else ""
    hint = f" hint={quoteattr(label.hint)}" if label.hint else ""
    return f"<Choice value={quoteattr(label.name)}{alias}{hint}/>"
