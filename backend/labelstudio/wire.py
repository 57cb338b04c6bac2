"""JSON <-> dataclasses: what Label Studio sends and what it is answered. Knows no HTTP and no model."""

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from backend.core.direction import isolated
from backend.core.errors import BadInputError, TooLargeError
from backend.core.projects import ProjectKey
from backend.core.types import Decision
from backend.labelstudio.incoming import MAX_ITEMS
from backend.labelstudio.schema import TOP_KEY, WHY_KEY, Control

Json = dict[str, Any]
Textless = Literal["link", "no_text"]

CONTROL_LENGTH = 200  # of a control's name that is kept in a file: people write ten signs
REASON_LENGTH = 200  # of an HTTP reason phrase, the only message that Label Studio shows
N_PERCENT = 5  # labels whose percent is shown
HINT_CHARACTERS = 4_000  # of all hints: more would be most of a task's data; then the likeliest alone have theirs
WORTH_TELLING = 0.05  # of a probability, in a line of text: less would come and go with every refresh
SAME_PERCENT = 5  # percents closer than this read the same
PATH_PART = re.compile(r"[^.\[\]]+")
INDEX = re.compile(r"[0-9]{1,6}")
PERCENT = re.compile(r"(\d{1,3}) ?%")
PERCENT_OR_ID = re.compile(r"\d{1,3} ?%|#\w+")
LINK = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://|www\.|/data/(?:upload|local-files)/)\S+|data:[\w/+.-]*;base64,\S*", re.IGNORECASE
)
LABEL_EVENTS = frozenset({"ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED", "ANNOTATIONS_DELETED"})


@dataclass(frozen=True, slots=True)
class TaskRef:
    """One task of a request. Its data stays written: as objects 100,000 tasks would fill the memory."""

    id: int  # 0 where it has none
    written: bytes  # its data, as a JSON object

    @classmethod
    def of(cls, task: object) -> "TaskRef":
        """What of a task is needed; all else, as its older predictions, is left out."""
        fields = task if isinstance(task, dict) else {}
        task_id, data = fields.get("id"), fields.get("data")
        known = task_id if isinstance(task_id, int) and 0 < task_id < 2**63 else 0  # more no database holds
        written = json.dumps(data if isinstance(data, dict) else {}, ensure_ascii=False)
        return cls(known, written.encode("utf-8", "surrogatepass"))

    @property
    def data(self) -> Mapping[str, Any]:
        data: Mapping[str, Any] = json.loads(self.written)
        return data


@dataclass(frozen=True, slots=True)
class PredictRequest:
    key: ProjectKey
    tasks: tuple[TaskRef, ...]
    label_config: str
    interactive: bool


@dataclass(frozen=True, slots=True)
class SetupRequest:
    key: ProjectKey
    label_config: str
    control: str  # extra_params.control, where several controls could be served


def predict_request(body: object) -> PredictRequest:
    """Read a `/predict` body.

    Raises:
        BadInputError: not the shape that Label Studio sends.
        TooLargeError: more than MAX_ITEMS tasks.
    """
    fields = _object(body)
    tasks = fields.get("tasks")
    if not isinstance(tasks, list):
        raise BadInputError(f"tasks must be a list, was {type(tasks).__name__}")
    if len(tasks) > MAX_ITEMS:
        raise TooLargeError(f"tasks must be at most {MAX_ITEMS} a request, were {len(tasks)}; select fewer")
    params = fields.get("params")
    context = params.get("context") if isinstance(params, dict) else None
    return PredictRequest(
        key=ProjectKey.parse(_string(fields, "project")),
        tasks=tuple(task if isinstance(task, TaskRef) else TaskRef.of(task) for task in tasks),
        label_config=_string(fields, "label_config"),
        interactive=context is not None,
    )


def setup_request(body: object) -> SetupRequest:
    """Read a `/setup` body.

    Raises:
        BadInputError: not the shape that Label Studio sends.
    """
    fields = _object(body)
    extra = fields.get("extra_params")
    control = extra.get("control", "") if isinstance(extra, dict) else ""
    return SetupRequest(
        key=ProjectKey.parse(_string(fields, "project")),
        label_config=_string(fields, "schema"),
        control=_storable(control)[:CONTROL_LENGTH] if isinstance(control, str) else "",
    )


def webhook_event(body: object, header_key: str) -> tuple[str, ProjectKey | None]:
    """Action and project of a webhook: from the header where it names one, else from a full payload.

    Raises:
        BadInputError: no action, or a project that is not one.
    """
    fields = _object(body)
    action = _string(fields, "action")
    if header_key:
        return action, ProjectKey.parse(header_key)
    project = fields.get("project")
    if not isinstance(project, dict):
        return action, None
    project_id, created_at = project.get("id"), project.get("created_at")
    if not isinstance(project_id, int) or not isinstance(created_at, str):
        raise BadInputError("project must have an integer id and a created_at")
    try:
        return action, ProjectKey.of(project_id, created_at)
    except ValueError as err:
        raise BadInputError("project.created_at must be an ISO 8601 time") from err


def text_of(data: Mapping[str, Any], control: Control) -> str | None:
    """The text of a task; None where it has none that can be labelled, for which `textless` has the reason.

    Numbers are taken as written (a CSV column of numbers arrives so); a conversation is joined, a line a turn, with its
    speakers.
    """
    value = value_at(data, control.text_key)
    text = _conversation(value, control) if isinstance(value, list) else _scalar(value)
    return None if text is None or _is_link(value, control) else _storable(text)


def textless(data: Mapping[str, Any], control: Control) -> Textless:
    """Why a task has no text: it holds nothing but a link, which nobody follows, or nothing that can be read."""
    return "link" if _is_link(value_at(data, control.text_key), control) else "no_text"


def value_at(data: Mapping[str, Any], key: str) -> Any:
    """What Label Studio's editor finds under a key: `a.b` and `a[0].b` are paths, unless data has that very key."""
    if key in data:
        return data[key]
    found: Any = data
    for part in PATH_PART.findall(key):
        if isinstance(found, list) and INDEX.fullmatch(part):
            found = dict(enumerate(found)).get(int(part))
        else:
            found = found.get(part) if isinstance(found, dict) else None
    return found


def _is_link(value: object, control: Control) -> bool:
    """Whether a value is nothing but the address of something; a text that holds one is a text."""
    if isinstance(value, list):
        words = [turn for _, turn in _turns(value, control)]
        return bool(words) and all(LINK.fullmatch(turn.strip()) for turn in words)
    return isinstance(value, str) and LINK.fullmatch(value.strip()) is not None


def _scalar(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}".removesuffix(".0") if math.isfinite(value) else None
    return None


def _conversation(value: list[Any], control: Control) -> str | None:
    lines = [f"{author}: {words}" if author else words for author, words in _turns(value, control)]
    return "\n".join(lines) or None


def _turns(value: list[Any], control: Control) -> list[tuple[str, str]]:
    """Speaker and words of each turn that has words; none where the list holds anything but turns."""
    if not all(isinstance(turn, dict) for turn in value):
        return []
    said = [(turn.get(control.turn_author), turn.get(control.turn_text)) for turn in value]
    return [(author if isinstance(author, str) else "", words) for author, words in said if isinstance(words, str)]


def score_of(decision: Decision) -> float:
    """What Label Studio sorts by: the confidence, or p(out of scope) where that was decided; 0-1, four digits.

    Two digits are the confidence; the other two keep the order of tasks whose confidence rounds to the same.
    """
    score = decision.p_out_of_scope if decision.kind == "out_of_scope" else decision.confidence
    return round(min(1.0, max(0.0, score)), 4)


def prediction(decision: Decision, control: Control, version: str, region_id: str) -> Json:
    """One decision as Label Studio stores it; an empty result where nothing is to be ticked.

    Args:
        region_id: of the tick, by which an annotation tells what it was made of.
    """
    value = control.labels.value_of(decision.predicted_label)
    result = [{"id": region_id, **choice(control, value)}] if value and decision.kind != "abstain" else []
    return {"result": result, "score": score_of(decision), "model_version": version}


def empty_prediction(score: float, version: str) -> Json:
    """What a blind task carries: nothing ticked, and a score that places it anywhere in the order of showing."""
    return {"result": [], "score": round(score, 4), "model_version": version}


def choice(control: Control, value: str) -> Json:
    return {
        "from_name": control.from_name, "to_name": control.to_name, "type": "choices", "value": {"choices": [value]},
    }  # fmt: skip


def shown_data(decision: Decision | None, control: Control) -> Json:
    """The keys of task data that show a decision: the reason, and all labels with percent, likeliest first."""
    data: Json = {}
    if control.shows_reason:
        data[WHY_KEY] = why(decision, control) if decision else ""
    if control.dynamic:
        data[TOP_KEY] = top(decision, control)
    return data


def tells(data: Mapping[str, Any]) -> bool:
    """Whether task data holds a reason or percents."""
    offered = data.get(TOP_KEY)
    items = offered if isinstance(offered, list) else []
    return bool(data.get(WHY_KEY)) or any("<b>" in str(item.get("html")) for item in items if isinstance(item, dict))


def reads_so(data: Mapping[str, Any], shown: Json) -> bool:
    """Whether an annotator reads in a task's data what `shown_data` says."""
    return all(reads_alike(data.get(key), value) for key, value in shown.items())


def reads_alike(old: object, new: object) -> bool:
    """Whether two values under one key of shown_data tell an annotator the same: percents may be a little apart."""
    if isinstance(old, list) and isinstance(new, list):
        before, now = _shares(old), _shares(new)
        same = before.keys() == now.keys() and next(iter(before), None) == next(iter(now), None)
        return same and all(abs(before[value] - now[value]) < SAME_PERCENT for value in now)
    if not isinstance(old, str) or not isinstance(new, str):
        return old == new
    percents = zip(PERCENT.findall(old), PERCENT.findall(new), strict=False)
    same = PERCENT_OR_ID.sub("", old) == PERCENT_OR_ID.sub("", new)
    return same and all(abs(int(one) - int(other)) < SAME_PERCENT for one, other in percents)


def _shares(items: Sequence[object]) -> dict[str, int]:
    """Percent by value, in order; 0 where none is told."""
    shares: dict[str, int] = {}
    for item in items:
        if isinstance(item, dict):
            told = PERCENT.findall(str(item.get("html", "")))
            shares[str(item.get("value"))] = int(told[-1]) if told else 0
    return shares


def why(decision: Decision, control: Control) -> str:
    """The reason in one line; after the likeliest labels where no list of labels shows them."""
    reason = " ".join(decision.reason.split())
    if control.dynamic:
        return reason
    told = [(name, share) for _, name, share in _likeliest(decision, control) if share >= WORTH_TELLING]
    return " · ".join([", ".join(f"{isolated(name)} {share:.0%}" for name, share in told), reason]) if told else reason


def top(decision: Decision | None, control: Control) -> list[Json]:
    """All labels for a dynamic `Choices`: the likeliest N_PERCENT with their percent, the others in config order."""
    likeliest = _likeliest(decision, control) if decision is not None else []
    first: list[Json] = [
        {"value": value, "html": f"{html.escape(isolated(name))} <b>{share:.0%}</b>"}
        for value, name, share in likeliest
    ]
    told = {value for value, _, _ in likeliest}
    others = [_plain(value, name) for value, name in _names(control).items() if value not in told]
    return _with_hints(first, control) + (_with_hints(others, control) if _fit(control) else others)


def _fit(control: Control) -> bool:
    """Whether all hints are short enough to stand in every task's data."""
    return sum(len(label.hint) for label in control.space.labels) <= HINT_CHARACTERS


def _with_hints(choices: list[Json], control: Control) -> list[Json]:
    """Choices with what the page shows while the pointer is over them."""
    hints = {label.value: label.hint for label in control.space.labels if label.hint}
    return [{**choice, "hint": hints[choice["value"]]} if choice["value"] in hints else choice for choice in choices]


def _plain(value: str, name: str) -> Json:
    """A choice without percent; it reads as its value where nothing else is said, which halves a long list."""
    shown = html.escape(name)
    return {"value": value} if shown == value else {"value": value, "html": shown}


def _likeliest(decision: Decision, control: Control) -> list[tuple[str, str, float]]:
    """Value, name and probability of up to N_PERCENT choices, out-of-scope among them."""
    names = _names(control)
    known = [(control.labels.value_of(item.label), item.probability) for item in decision.alternatives]
    shares = [(value, share) for value, share in known if value in names]
    if control.space.oos_value:
        shares.append((control.space.oos_value, decision.p_out_of_scope))
    return [(value, names[value], share) for value, share in sorted(shares, key=lambda item: -item[1])[:N_PERCENT]]


def _names(control: Control) -> dict[str, str]:
    """What each choice reads, in config order but for out-of-scope, which comes last."""
    names = {label.value: label.name for label in control.space.labels}
    return {**names, control.space.oos_value: control.oos_name} if control.space.oos_value else names


def reason_phrase(message: str) -> str:
    """A message as an HTTP reason phrase: ASCII, one line, at most REASON_LENGTH characters."""
    ascii_only = " ".join(message.split()).encode("ascii", "replace").decode()
    return "".join(sign if sign.isprintable() else "?" for sign in ascii_only)[:REASON_LENGTH]


def _storable(text: str) -> str:
    """A text that files and databases take: half of a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def _object(body: object) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise BadInputError(f"the body must be a JSON object, was {type(body).__name__}")
    return body


def _string(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise BadInputError(f"{name} must be a string, was {type(value).__name__}")
    return value


def results(predictions: Sequence[Json | None]) -> Json:
    """The answer to `/predict`: one entry a task, `[]` for "none yet"."""
    return {"results": [item if item is not None else [] for item in predictions]}
