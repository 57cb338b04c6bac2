"""Doctor on what a project is made of: its label config, its texts, its accepted labels."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.connection.doctor.check import Check, Fault, Finding
from backend.connection.languages import reading_of
from backend.core.projects import SETTINGS_FILE
from backend.core.spellings import alike, shown
from backend.labelstudio.schema import Control, Unusable, knows_oos_label
from backend.labelstudio.wire import text_of, textless
from backend.loop.clocks import set_right, times_ahead
from backend.loop.desk import ProjectDesk
from backend.loop.retrain import annotated_tasks
from training.dataset import label_of_annotation

SAMPLE = 100  # tasks that are looked into
READ_AT_ONCE = 200  # tasks: their numbers stand in a URL
READ_AT_MOST = 1000  # a second or two


def set_times_right(work: ProjectDesk) -> str:
    set_right(work.desk, work.row, time.time())
    return "what lay ahead counts as now"


UNSERVED: Fault[ProjectDesk] = Fault(
    "label config without a usable control", "{reason}", "{remedy}; the config is read again by itself"
)
UNKNOWN_OOS: Fault[ProjectDesk] = Fault(
    "an out-of-scope label that is not there",
    "the settings name {label!r} as out of scope, which the config does not have",
    "correct oos_label in {file}, or run: prelabel connect --project {project} --oos-label NAME",
)
ONE_CHOICE: Fault[ProjectDesk] = Fault(
    "one choice and nothing to choose", "{name} offers one choice, so that nothing is ticked",
    "add the other labels to the label config, or a choice that means none of these",
)  # fmt: skip
SAME_CHOICES: Fault[ProjectDesk] = Fault(
    "choices that are one label", "choices of {name} differ where nobody sees it: {groups}",
    "keep one of each in the label config; in [renamed] of {file} say what the others are called now",
)  # fmt: skip
UNKNOWN_RULES: Fault[ProjectDesk] = Fault(
    "keyword rules for labels that are not there", "keyword rules name labels that the config does not have: {labels}",
    "correct [keywords] in {file}",
)  # fmt: skip
LINKS: Fault[ProjectDesk] = Fault(
    "links instead of texts", "{n} {of} hold a link under {key!r} instead of a text: not predicted",
    "import the text itself; links and storage addresses are not fetched",
)  # fmt: skip
NO_TEXTS: Fault[ProjectDesk] = Fault(
    "tasks without a text", "{n} {of} hold no text under {key!r}: not predicted",
    "name the column that holds the text in the label config",
)  # fmt: skip
AHEAD: Fault[ProjectDesk] = Fault(
    "times that lie ahead: a clock was set back",
    "{names} lie ahead by up to {hours:.1f} h: a clock was set back",
    "let the machine follow a time server (timedatectl set-ntp true); prelabel doctor --fix",
    set_times_right,
)
UNREAD: Fault[ProjectDesk] = Fault(
    "texts in a language that the embedder does not read", "{reading}",
    "if it is another language, run: prelabel connect --project {project} --language CODE; if it is this one, name it,"
    " and let labels teach its words",
)  # fmt: skip
LOST_LABELS: Fault[ProjectDesk] = Fault(
    "labels in annotations that the config lost: renamed, or dropped", "{lost}",
    'in [renamed] of {file} say what each is called now, or "" for labels dropped',
)  # fmt: skip


def config(work: ProjectDesk) -> Finding[ProjectDesk]:
    if isinstance(work.found, Unusable):
        return unserved(work.found)
    space = work.control.space
    if not knows_oos_label(work.control, work.settings):
        return UNKNOWN_OOS.seen(label=work.settings.oos_label, file=work.folder.root / SETTINGS_FILE, project=work.id)
    oos = f"{space.oos_value!r} means none of these" if space.oos_value else "no choice means none of these"
    n_hints = sum(bool(label.hint) for label in work.offered.labels)
    n_described = sum(bool(label.hint) for label in space.labels) - n_hints
    hints = f"{n_hints} with hint" + (f", {n_described} with a description" if n_described else "")
    return Finding(f"{work.control.from_name}: {len(space)} labels, {hints}; {oos}")


def unserved(found: Unusable) -> Finding[ProjectDesk]:
    """What is said about a label config that cannot be served."""
    return UNSERVED.seen(reason=found.reason, remedy=found.remedy)


def choices(work: ProjectDesk) -> Finding[ProjectDesk]:
    return of_choices(work.control, work.folder.root / SETTINGS_FILE)


def of_choices(control: Control, settings: Path) -> Finding[ProjectDesk]:
    """Whether a person can tell the choices apart, and has any choice."""
    name, space = control.from_name, control.space
    if len(space) == 1 and not space.oos_value:
        return ONE_CHOICE.seen(name=name)
    if same := control.labels.written_twice():
        return SAME_CHOICES.seen(name=name, groups=_groups(same), file=settings)
    told = _groups(alike(label.name for label in space.labels))
    return Finding(f"these look alike and are different ones: {told}" if told else "no two look alike")


def _groups(groups: Iterable[Sequence[str]]) -> str:
    return "; ".join(" and ".join(shown(label) for label in group) for group in groups)


def keywords(work: ProjectDesk) -> Finding[ProjectDesk]:
    names = work.control.labels
    unknown = {label for label in work.settings.keywords if not names.value_of(label)}
    if unknown:
        return UNKNOWN_RULES.seen(labels=", ".join(sorted(unknown)), file=work.folder.root / SETTINGS_FILE)
    return Finding(f"rules for {len(work.keywords)} labels")


def texts(work: ProjectDesk) -> Finding[ProjectDesk]:
    """Whether tasks hold texts, by the first of them."""
    sample = list(work.desk.client.tasks(work.id, limit=SAMPLE, all_fields=False))
    return of_texts([task.data for task in sample], work.control)


def of_texts(sample: Sequence[Mapping[str, Any]], control: Control) -> Finding[ProjectDesk]:
    """What is said about the data of some tasks; a few without a text are nothing to worry about."""
    lacking = Counter(textless(data, control) for data in sample if text_of(data, control) is None)
    of, key = f"of the first {len(sample)} tasks", control.text_key
    if lacking["link"]:
        return LINKS.seen(n=lacking["link"], of=of, key=key)
    if lacking["no_text"] > len(sample) / 2:
        return NO_TEXTS.seen(n=lacking["no_text"], of=of, key=key)
    return Finding(f"{len(sample) - sum(lacking.values())} {of} hold a text under {key!r}")


def language(work: ProjectDesk) -> Finding[ProjectDesk]:
    """In which the version that serves reads texts; a person who named it knows what to expect."""
    reading = reading_of(work.folder)
    if reading is None:
        return Finding("no version serves yet")
    if not reading.is_supported and not work.settings.language:
        return UNREAD.seen(reading=reading.line, project=work.id)
    return Finding(reading.line)


def labels(work: ProjectDesk) -> Finding[ProjectDesk]:
    """Which of the annotations that the ledger knows are still there, Label Studio tells."""
    known = {*work.control.space.values, work.control.space.oos_value, *work.settings.renamed}
    suspects = work.desk.ledger.tasks_labelled_otherwise(work.key, known)[:READ_AT_MOST]
    lost: Counter[str] = Counter()
    for start in range(0, len(suspects), READ_AT_ONCE):
        for task in annotated_tasks(work, suspects[start : start + READ_AT_ONCE]):
            said = (label_of_annotation(item, work.control) for item in task.annotations)
            lost.update(label for label in said if label and label not in known)
    if not lost:
        return Finding("the config has every label that was accepted")
    told = (f"{n} annotations hold {label!r}, which the config has no more" for label, n in lost.items())
    return LOST_LABELS.seen(lost="; ".join(told), file=work.folder.root / SETTINGS_FILE)


def times(work: ProjectDesk) -> Finding[ProjectDesk]:
    """By this machine's clock; what Label Studio's says of the watermark, reconcile asks."""
    now = time.time()
    ahead = times_ahead(work.row, now)
    if not ahead:
        return Finding("none lies ahead")
    farthest = max(getattr(work.row, name) for name in ahead)
    return AHEAD.seen(names=", ".join(ahead), hours=(farthest - now) / 3600)


CONFIG: tuple[Check[ProjectDesk], ...] = (
    Check("label config", config, (UNSERVED, UNKNOWN_OOS)),
    Check("choices", choices, (ONE_CHOICE, SAME_CHOICES), needs=("label config",)),
    Check("keywords", keywords, (UNKNOWN_RULES,), needs=("label config",)),
)
CONTENT: tuple[Check[ProjectDesk], ...] = (
    Check("texts", texts, (LINKS, NO_TEXTS), needs=("label config",)),
    Check("language", language, (UNREAD,)),
    Check("times", times, (AHEAD,)),
    Check("labels", labels, (LOST_LABELS,), needs=("label config",)),
)
