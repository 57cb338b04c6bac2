"""Tabs in Label Studio's Data Manager: what people who lead the work look for, in columns they read.

Made by `connect` and by the job that marks tasks, removed by `disconnect`. Which tabs are ours is
remembered by their ids; one that a person made or renamed is theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.labelstudio.filters import holding, open_tasks
from backend.labelstudio.records import Json
from backend.labelstudio.schema import AUTO_KEY, BLIND_KEY, CHANGED_KEY, ID_KEY, OWN_KEYS, WHY_KEY
from backend.loop.desk import ProjectDesk

SCORE = "predictions_score"
EXPLORE, LABELING = "explore", "labeling"  # Label Studio's names of the two lists of columns
TEXT_WIDTH, WHY_WIDTH = 460, 420  # pixels
ALL = "Default"  # Label Studio makes a tab of this name only where a project has none


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab: which tasks, in which order, in which columns beside the text and the suggestion."""

    title: str
    key: str = ""  # of task data; the tab shows tasks that hold it, and is made once there are some
    filters: tuple[Json, ...] = ()
    ordering: tuple[str, ...] = ()
    columns: tuple[str, ...] = (SCORE,)  # of the task, or "data.<key>"


TABS = (
    Tab("To do: least sure", filters=(open_tasks(),), ordering=(f"tasks:{SCORE}",)),
    Tab("Blind", BLIND_KEY, columns=("total_annotations",)),
    Tab("Auto-accepted", AUTO_KEY),
    Tab(
        "Changed by people",
        CHANGED_KEY,
        ordering=("-tasks:completed_at",),
        columns=(f"data.{CHANGED_KEY}", SCORE, "annotators", "completed_at"),
    ),
)


def make_tabs(work: ProjectDesk) -> None:
    """Add the tabs that the project lacks; where it has none at all, one of all tasks first.

    A tab over a key that no task holds would lose its filter: Label Studio does not know the column.
    """
    there = {tab["id"] for tab in work.desk.client.tabs(work.id)}
    made = {title: number for title, number in own_tabs(work).items() if number in there}
    known = _columns(work)
    wanted = [] if there else [Tab(ALL, columns=(SCORE, "total_annotations"))]
    for tab in (*wanted, *TABS):
        if tab.title not in made and (not tab.key or f"data.{tab.key}" in known):
            data = _data(tab, work.control.text_key, known)
            made[tab.title] = work.desk.client.create_tab(work.id, data)
    if made != own_tabs(work):
        work.remember(tabs=made)


def own_tabs(work: ProjectDesk) -> dict[str, int]:
    """The tabs that `connect` made, by title."""
    row = work.desk.ledger.project(work.key) or work.row
    return dict((row.snapshot or {}).get("tabs") or {})


def standing_tabs(work: ProjectDesk) -> list[Json]:
    """Those of them that are there still, under the title that we gave them."""
    ours = {number: title for title, number in own_tabs(work).items()}
    tabs = work.desk.client.tabs(work.id)
    return [tab for tab in tabs if ours.get(tab["id"]) == (tab.get("data") or {}).get("title")]


def remove_tabs(work: ProjectDesk) -> None:
    """Delete the tabs that `connect` made; one that was renamed stays."""
    for tab in standing_tabs(work):
        work.desk.client.delete_tab(tab["id"])


def _data(tab: Tab, text_key: str, known: Sequence[str]) -> Json:
    """What the Data Manager keeps of a tab."""
    text, why = f"data.{text_key}", f"data.{WHY_KEY}"
    columns = dict.fromkeys([*known, *(f"data.{key}" for key in (*OWN_KEYS, ID_KEY))])
    hidden = [f"tasks:{name}" for name in columns if name not in ("id", text, why, *tab.columns)]
    return {
        "title": tab.title,
        "type": "list",
        "target": "tasks",
        **_queue(tab),
        "hiddenColumns": {EXPLORE: hidden, LABELING: hidden},
        "columnsWidth": {f"tasks:{text}": TEXT_WIDTH, f"tasks:{why}": WHY_WIDTH},
        "columnsDisplayType": {},
        "gridWidth": 4,
    }


def _queue(tab: Tab) -> Json:
    """Which tasks, and in which order. Without either, people label in the order of the project.

    Entries that say nothing would make Label Studio go through the tab by number.
    """
    filters = [*tab.filters, *([holding(tab.key)] if tab.key else [])]
    asked: Json = {"filters": {"conjunction": "and", "items": filters}} if filters else {}
    return {**asked, "ordering": list(tab.ordering)} if tab.ordering else asked


def _columns(work: ProjectDesk) -> list[str]:
    """The columns that Label Studio knows of the project; those of task data as `data.<key>`."""
    return [
        f"{column['parent']}.{column['id']}" if column.get("parent") else str(column["id"])
        for column in work.desk.client.columns(work.id)
    ]
