"""Label configs: which control prelabel serves and which labels it holds. Decides nothing about texts.

Served: the one visible `Choices` whose `toName` is a `Text` or `Paragraphs`, choice single or single-radio, per task.
prelabel's own dynamic control takes its labels from the hidden `Choices` named `label_set`. Every other shape is named
with what to do about it, and nothing is guessed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache, partial
from xml.etree.ElementTree import Element, ParseError

import defusedxml
from defusedxml.ElementTree import fromstring

from backend.core.errors import BadInputError, LabelConfigError
from backend.core.labels import LabelNames, key
from backend.core.projects import ProjectSettings
from backend.core.types import Label, LabelSpace

LABEL_SET = "label_set"
TOP_KEY = "prelabel_top"  # task data: all labels with percent, likeliest first, for the dynamic control
WHY_KEY = "prelabel_why"  # task data: the reason in one line
AUTO_KEY = "prelabel_auto"  # task data: that the label was accepted without a person, to filter by
BLIND_KEY = "prelabel_blind"  # task data: that the task is labelled without a tick, to filter by
CHANGED_KEY = "prelabel_changed"  # task data: the tick that a person changed, to filter by
OWN_KEYS = (TOP_KEY, WHY_KEY, AUTO_KEY, BLIND_KEY, CHANGED_KEY)
ID_KEY = "prelabel_id"  # task data: which row of a file a task is; written by `import`, and it stays
COLUMN_KEY = "prelabel_column"  # task data: the column that the text stood in, where the label config's key differs
IMPORTED = "imported"  # the version of predictions that are labels which came with the data
OOS_NAMES = frozenset(
    (
        "oos", "out of scope", "none", "none of these", "none of the above", "other", "others", "unknown",
        "другое", "прочее", "нет товара", "вне темы", "ничего из этого",
    )
)  # fmt: skip
SINGLE = ("single", "single-radio")
EDITOR_KEY = re.compile(r"\$[A-Za-z0-9_.\[\]{}]+")  # what Label Studio's editor replaces by task data, no more
READ_KEY = re.compile(r"\$[A-Za-z0-9_.\[\]]+")  # of these, those that need no Repeater
REMEMBERED_SIGNS = 100_000  # of a label config, ten times what 150 labels take: memory must not grow with odd ones
MAX_DEPTH = 100  # of elements in one another; people stop at ten
SHOWN_CONTROLS = 3  # of the controls that are no Choices
WRITES_ONE = "`prelabel label-config` writes a config that works"


@dataclass(frozen=True)
class Control:
    """The control that prelabel fills in, and where its text comes from."""

    from_name: str
    to_name: str
    text_key: str  # the key of the task's data that holds the text
    space: LabelSpace
    dynamic: bool  # labels come from task data under TOP_KEY
    shows_reason: bool  # the config shows task data under WHY_KEY
    oos_name: str = ""  # how the out-of-scope choice reads; empty where there is none
    turn_text: str = "text"  # of a conversation: under which key each turn has its words
    turn_author: str = "author"  # and its speaker
    renamed: Mapping[str, str] = field(default_factory=dict)  # values of older annotations -> what they are now

    @cached_property
    def labels(self) -> LabelNames:
        """Its labels by everything that they are called."""
        return LabelNames(self.space, self.oos_name, self.renamed)


@dataclass(frozen=True, slots=True)
class Offer:
    """The labels of a control."""

    space: LabelSpace
    oos_name: str  # as in Control


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a well-formed config cannot be served; doctor explains it."""

    reason: str
    remedy: str

    @property
    def message(self) -> str:
        return f"{self.reason}: {self.remedy}"


def read_config(xml: str, *, control: str = "", oos_value: str | None = None) -> Control | Unusable:
    """Find the control to serve; configs of common length are remembered.

    Args:
        control: the name of the control, where several could be served.
        oos_value: the choice that means "none of these"; None guesses from its name, "" says there is none.

    Raises:
        LabelConfigError: the config is not well-formed XML, or nests too deep.
    """
    read = _read_config if len(xml) <= REMEMBERED_SIGNS else _read_config.__wrapped__
    return read(xml, control, oos_value)


@lru_cache(maxsize=256)
def _read_config(xml: str, control: str, oos_value: str | None) -> Control | Unusable:
    root = _parse(xml)
    hidden, conditional = _not_always_shown(root)
    names = {element.get("name", ""): element for element in root.iter()}
    offered = cache(partial(_offered, oos_value=oos_value))  # many controls may name one list
    served: list[Control] = []
    refused: list[Unusable] = []
    for element in root.iter("Choices"):
        if id(element) in hidden:
            continue
        if id(element) in conditional:
            refused.append(_sometimes(element))
            continue
        found = _control(element, names, offered, shows_reason=f"${WHY_KEY}" in xml)
        if isinstance(found, Control):
            served.append(found)
        else:
            refused.append(found)
    return _choose(served, refused or [_no_choices(root, hidden)], control)


def served_control(xml: str, settings: ProjectSettings) -> Control | Unusable:
    """The control of a project, as its settings have it.

    Raises:
        LabelConfigError: the config is not well-formed XML.
    """
    oos = None if settings.oos_label == "auto" else settings.oos_label
    return read_config(xml, control=settings.control, oos_value=oos)


def usable_control(xml: str, settings: ProjectSettings) -> Control:
    """The same.

    Raises:
        BadInputError: the config has no control that prelabel serves.
        LabelConfigError: the config is not well-formed XML.
    """
    found = served_control(xml, settings)
    if isinstance(found, Unusable):
        raise BadInputError(found.message)
    return found


def knows_oos_label(control: Control, settings: ProjectSettings) -> bool:
    """Whether the out-of-scope label that the settings name is a choice of the label config."""
    named = settings.oos_label
    return named in ("auto", "") or control.labels.value_of(named) == control.space.oos_value


def file_control(xml: str, *, oos_label: str = "") -> Control:
    """The control of a config, for commands that work on files.

    Raises:
        BadInputError: the config has no control that prelabel serves, or `oos_label` is not one of its choices.
    """
    found = read_config(xml, oos_value=oos_label or None)
    if isinstance(found, Unusable):
        raise BadInputError(found.message)
    if oos_label and found.labels.value_of(oos_label) != found.space.oos_value:
        raise BadInputError(f"--oos-label must be a choice of the label config, was {oos_label!r}")
    return found


def label_space(xml: str, *, oos_label: str = "") -> LabelSpace:
    """Its labels; raises as `file_control`."""
    return file_control(xml, oos_label=oos_label).space


def _parse(xml: str) -> Element:
    try:
        root: Element = fromstring(xml, forbid_dtd=True)
    except ParseError as err:
        line, column = err.position
        raise LabelConfigError(f"label config must be well-formed XML; broken at line {line} column {column}") from err
    except UnicodeEncodeError as err:
        raise LabelConfigError("label config must be well-formed XML; it holds half of a surrogate pair") from err
    except defusedxml.DefusedXmlException as err:
        raise LabelConfigError("label config must hold no DTD and no entities; remove them") from err
    return root


def _not_always_shown(root: Element) -> tuple[set[int], set[int]]:
    """Identities of the elements that are never shown, and of those shown once something else was answered.

    Raises:
        LabelConfigError: elements stand in more than MAX_DEPTH others.
    """
    hidden: set[int] = set()
    conditional: set[int] = set()
    waiting = [(root, False, False, 1)]
    while waiting:
        element, never, sometimes, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise LabelConfigError(f"label config must nest at most {MAX_DEPTH} deep; take out views that do nothing")
        never, sometimes = never or _is_hidden(element), sometimes or bool(element.get("visibleWhen"))
        if never:
            hidden.add(id(element))
        if sometimes:
            conditional.add(id(element))
        waiting += [(child, never, sometimes, depth + 1) for child in element]
    return hidden, conditional


def _is_hidden(element: Element) -> bool:
    style = re.sub(r"\s", "", element.get("style", "")).lower()
    return "display:none" in style or element.get("visible", "").lower() == "false"


def _sometimes(element: Element) -> Unusable:
    reason = f"Choices {element.get('name', '')!r} must always be shown; it has visibleWhen, or a view around it has"
    return Unusable(reason, "remove visibleWhen; prelabel ticks before anything is answered")


def _no_choices(root: Element, hidden: set[int]) -> Unusable:
    """Names what the config has instead."""
    others = [item for item in root.iter() if item.get("toName") is not None and id(item) not in hidden]
    found = ", ".join(f"{item.tag} {item.get('name', '')!r}" for item in others[:SHOWN_CONTROLS])
    reason = "label config has no Choices tag over a Text or Paragraphs" + (f"; it has {found}" if found else "")
    return Unusable(reason, f"list the labels in a flat Choices; {WRITES_ONE}")


def _control(
    element: Element,
    names: Mapping[str, Element],
    offered: Callable[[Element], Offer | Unusable],
    *,
    shows_reason: bool,
) -> Control | Unusable:
    name, to_name = element.get("name", ""), element.get("toName", "")
    target = names.get(to_name)
    if target is None or target.tag not in ("Text", "Paragraphs"):
        return Unusable(
            f"Choices {name!r} must label a Text or Paragraphs; its toName is {to_name!r}",
            "point toName at the one Text or Paragraphs that holds the text; pictures, sound and HTML are not read",
        )
    wrong = _wrong_kind(element, name) or _wrong_text(target)
    if wrong is not None:
        return wrong
    source = _source(element, names)
    offer = source if isinstance(source, Unusable) else offered(source)
    if isinstance(offer, Unusable):
        return offer
    return Control(
        name, to_name, target.get("value", "").removeprefix("$"), offer.space, bool(element.get("value")), shows_reason,
        offer.oos_name, target.get("textKey") or "text", target.get("nameKey") or "author",
    )  # fmt: skip


def _wrong_kind(element: Element, name: str) -> Unusable | None:
    if element.get("choice", "single") not in SINGLE:
        return Unusable(
            f"Choices {name!r} must have choice single or single-radio; it has {element.get('choice')!r}",
            'set choice="single" if one label a text will do; several at once are not predicted',
        )
    if element.get("perRegion", "").lower() == "true" or element.get("perItem", "").lower() == "true":
        return Unusable(
            f"Choices {name!r} must label the whole task; it labels each region or item",
            "remove perRegion and perItem; parts of a text are not predicted",
        )
    return None


def _source(element: Element, names: Mapping[str, Element]) -> Element | Unusable:
    """The control that holds the labels: itself, or the hidden one of a dynamic one of ours."""
    if not element.get("value"):
        return element
    declared = names.get(LABEL_SET)
    if element.get("value") != f"${TOP_KEY}" or declared is None or declared.tag != "Choices":
        return Unusable(
            f'dynamic Choices {element.get("name", "")!r} must read ${TOP_KEY} beside a hidden Choices "{LABEL_SET}"',
            f"write the labels into the config, or use prelabel's own dynamic list; {WRITES_ONE}",
        )
    return declared


def _offered(source: Element, *, oos_value: str | None) -> Offer | Unusable:
    """What a control lets people choose from."""
    name = source.get("name", "")
    if source.find(".//Choices") is not None or any(
        choice.find("Choice") is not None for choice in source.iter("Choice")
    ):
        return Unusable(
            f"Choices {name!r} must be a flat list; it has nested choices",
            f"list the innermost choices flat, with the path in their names where they read alike; {WRITES_ONE}",
        )
    labels = tuple(_label(choice) for choice in source.findall(".//Choice"))
    problem = _problem(name, labels)
    if problem:
        return Unusable(problem, f"correct its choices; {WRITES_ONE}")
    space = _space(labels, oos_value)
    return Offer(space, next((label.name for label in labels if label.value == space.oos_value), ""))


def _wrong_text(target: Element) -> Unusable | None:
    name, value = target.get("name", ""), target.get("value", "")
    if not READ_KEY.fullmatch(value):
        return _unread_key(target.tag, name, value)
    if target.get("valueType", "").lower() == "url":
        return Unusable(
            f"{target.tag} {name!r} must hold its text in the task's data, not behind a link",
            'import the text itself and remove valueType="url"; links are not fetched',
        )
    return None


def _unread_key(tag: str, name: str, value: str) -> Unusable:
    if value.startswith("$") and not value.isascii():
        return Unusable(
            f"{tag} {name!r} must read a key of A-Z, a-z, 0-9, _ and dots; it reads {value!r}, and the"
            " editor shows these letters in place of the text",
            'write value="$text", and import the data again: `prelabel import --text COLUMN` puts the'
            " column under the key that the config reads, and an export gives it its name back",
        )
    return Unusable(
        f'{tag} {name!r} must take its value from the task\'s data, as in value="$text"; it has {value!r}',
        "name one column of the data; a Repeater and several columns at once are not read",
    )


def _label(choice: Element) -> Label:
    name = choice.get("value", "")
    return Label(choice.get("alias") or name, name, choice.get("hint", ""))


def _problem(name: str, labels: tuple[Label, ...]) -> str:
    values = [label.value for label in labels]
    from_data = next((label.name for label in labels if EDITOR_KEY.search(label.name)), "")
    if from_data:
        return (
            f"every Choice of {name!r} must be a label; {from_data!r} names task data, which the editor"
            " puts in its place"
        )
    if not values:
        return f"Choices {name!r} must hold at least one Choice; it has none"
    if not all(key(value) for value in values):
        return f"every Choice of {name!r} must have a value; one has none"
    if len(set(values)) < len(values):
        return f"the choices of {name!r} must differ; some stand twice"
    return ""


def _space(labels: tuple[Label, ...], oos_value: str | None) -> LabelSpace:
    if oos_value is None:
        oos_value = next((label.value for label in labels if _means_oos(label)), "")
    else:
        oos_value = LabelNames(LabelSpace(labels)).value_of(oos_value) or ""
    return LabelSpace(tuple(label for label in labels if label.value != oos_value), oos_value)


def _means_oos(label: Label) -> bool:
    names = {re.sub(r"[\s_-]+", " ", key(name)).strip().lower() for name in (label.value, label.name)}
    return bool(names & OOS_NAMES)


def _choose(served: list[Control], refused: list[Unusable], name: str) -> Control | Unusable:
    names = ", ".join(control.from_name for control in served)
    if name:
        named = [control for control in served if control.from_name == name]
        reason = f"extra_params.control must name a Choices that can be served: {name!r}"
        return named[0] if named else Unusable(reason, f"name another, or none: {names or _joined(refused)}")
    if len(served) > 1:
        return Unusable(
            f"label config must have one visible Choices, has {len(served)};"
            f" set extra_params.control to one of {names}",
            'or write control = "..." into the project\'s settings.toml, or keep one of them',
        )
    if not served:
        remedies = dict.fromkeys(item.remedy for item in refused)
        return Unusable(_joined(refused), "; ".join(remedies))
    return served[0]


def _joined(refused: list[Unusable]) -> str:
    return "; ".join(item.reason for item in refused)
