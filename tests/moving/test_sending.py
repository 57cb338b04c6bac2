"""What goes wrong on the way to Label Studio, over a fake that loses answers, is away, or refuses: each row once."""

import random
import resource
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backend.core.errors import BadInputError, LabelStudioError, StateError
from backend.labelstudio.records import Json, Project, Task, project_of, task_of
from backend.labelstudio.schema import ID_KEY, Control, read_config
from backend.moving import sending
from backend.moving.importing import CHUNK_ROWS, ImportOptions, import_rows
from backend.rows.names import Names
from backend.rows.records import RowsSource
from backend.rows.writing import writing_table
from tests.moving.playground import CONFIG

N_ROWS = CHUNK_ROWS + 10  # two requests
SMALL_BYTES = 64 * 1024
Trouble = Callable[["FakeLabelStudio", Sequence[Json]], None]


@dataclass
class FakeLabelStudio:
    """Tasks in memory. `troubles` happen to the requests in turn; None lets one through."""

    troubles: list[Trouble | None] = field(default_factory=list)
    tasks: list[Json] = field(default_factory=list)
    labels: dict[int, str] = field(default_factory=dict)  # that were imported, by task

    def count(self, _project_id: int, filters: Sequence[Json]) -> int:
        return len(self.filtered(filters))

    def pages_above(
        self, _project_id: int, task_id: int, *, include: str, filters: Sequence[Json] = ()
    ) -> Iterator[list[Json]]:
        page = [task for task in self.filtered(filters) if task["id"] > task_id]
        return iter([page] if page else [])

    def filtered(self, filters: Sequence[Json]) -> list[Json]:
        """Tasks above an id, with an imported label, or with an annotation, of which there are none."""
        tasks = self.tasks
        for each in filters:
            kind = each["filter"].rpartition(":")[2]
            if kind == "id":
                tasks = [task for task in tasks if task["id"] > each["value"]]
            elif kind == "predictions_model_versions":
                tasks = [task for task in tasks if task["id"] in self.labels]
            else:
                tasks = []
        return tasks

    def import_predictions(self, _project_id: int, predictions: Iterable[Json]) -> int:
        new = {item["task"]: item["result"][0]["value"]["choices"][0] for item in predictions}
        self.labels |= new
        return len(new)

    def update_project(self, project_id: int, **_: object) -> Project:
        return self.project(project_id)

    def import_tasks(self, _project_id: int, tasks: Sequence[Json]) -> list[int]:
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is not None:
            trouble(self, tasks)
        return self.keep(tasks)

    def keep(self, tasks: Sequence[Json]) -> list[int]:
        ids = list(range(len(self.tasks) + 1, len(self.tasks) + len(tasks) + 1))
        for id_, task in zip(ids, tasks, strict=True):
            self.tasks.append({"id": id_, "data": task["data"]})
            self.import_predictions(1, [{"task": id_, **item} for item in task.get("predictions", ())])
        return ids

    def project(self, project_id: int) -> Project:
        return project_of({"id": project_id, "created_at": "2026-01-01T00:00:00Z"})

    def task(self, task_id: int) -> Task:
        return task_of(next(task for task in self.tasks if task["id"] == task_id))

    def delete_task(self, task_id: int) -> None:
        self.tasks = [task for task in self.tasks if task["id"] != task_id]

    @property
    def rows(self) -> list[str]:
        return sorted((task["data"][ID_KEY] for task in self.tasks), key=int)


def answer_lost(label_studio: FakeLabelStudio, tasks: Sequence[Json]) -> None:
    label_studio.keep(tasks)
    raise LabelStudioError("no answer")


def restarted(_: FakeLabelStudio, __: Sequence[Json]) -> None:
    raise LabelStudioError("bad gateway", status=502)


def expired(_: FakeLabelStudio, __: Sequence[Json]) -> None:
    raise LabelStudioError("the token is wrong or expired", status=401)


def one_is_bad(_: FakeLabelStudio, tasks: Sequence[Json]) -> None:
    if any(task["data"][ID_KEY] == "7" for task in tasks):
        raise LabelStudioError("no such thing in 'text 7'", status=400, summary="no such thing")


def all_are_bad(_: FakeLabelStudio, __: Sequence[Json]) -> None:
    raise LabelStudioError("the key must be there", status=400)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SETTLE_S", 0.1)
    monkeypatch.setattr(sending, "LOOK_S", 0.01)


def bring(label_studio: FakeLabelStudio, folder: Path, n: int = N_ROWS) -> sending.Imported:
    return bring_rows(label_studio, folder, [{"id": number, "text": f"text {number}"} for number in range(n)])


def bring_rows(
    label_studio: FakeLabelStudio, folder: Path, rows: Sequence[Json], names: Names = Names(), *,  # noqa: B008
    add_labels: bool = False,
) -> sending.Imported:  # fmt: skip
    control = read_config(CONFIG)
    assert isinstance(control, Control)
    options = ImportOptions(names, add_labels=add_labels, rejects=folder / "rejects.csv")
    return import_rows(
        RowsSource(rows), label_studio, 1, control, folder=folder, options=options, report=lambda _: None,
        watch=lambda _: None,
    )  # fmt: skip


WEEK_1 = [{"id": 1, "text": "parcel is late"}, {"id": 2, "text": "money back please"}]
WEEK_2 = [{"id": 1, "text": "courier was rude"}, {"id": 2, "text": "money back please"}]


def test_ids_that_begin_anew_are_told_and_their_rows_come_in_once_the_id_is_no_identity(tmp_path: Path) -> None:
    label_studio = FakeLabelStudio()
    bring_rows(label_studio, tmp_path, WEEK_1)
    told = bring_rows(label_studio, tmp_path, WEEK_2)
    assert (told.new, told.known, told.changed, told.left_out) == (0, 1, 1, 1)
    (_, line) = (tmp_path / "rejects.csv").read_text(encoding="utf-8").splitlines()
    assert line.startswith("1,1,")
    assert "courier" not in line
    for names in (Names(id_prefix="week 2: "), Names(no_id=True)):
        first, again = (bring_rows(label_studio, tmp_path, WEEK_2, names) for _ in range(2))
        assert (first.new, first.known, first.left_out) == (1, 1, 0), "the row that came in by its id is there"
        assert (again.new, again.known, again.left_out) == (0, 2, 0)


LATER = [
    ("the file had no column of labels", [{"text": "tea"}, {"text": "milk"}], Names()),
    (
        "the column had another name",
        [{"text": "tea", "label": "yes"}, {"text": "milk", "label": "no"}],
        Names(label="x"),
    ),
]


@pytest.mark.parametrize(("first", "names"), [row[1:] for row in LATER], ids=[row[0] for row in LATER])
def test_labels_that_come_later_are_told_and_added_on_request(tmp_path: Path, first: list[Json], names: Names) -> None:
    label_studio = FakeLabelStudio()
    labels = [{"text": "tea", "label": "yes"}, {"text": "milk", "label": "no"}]
    bring_rows(label_studio, tmp_path, [{**row, "x": ""} for row in first], names)
    told = bring_rows(label_studio, tmp_path, labels)
    assert (told.late, told.left_out, label_studio.labels) == (2, 2, {})
    added = bring_rows(label_studio, tmp_path, labels, add_labels=True)
    assert (added.labels_added, added.left_out, label_studio.labels) == (2, 0, {1: "y", 2: "no"})
    again = bring_rows(label_studio, tmp_path, labels, add_labels=True)
    assert (again.labels_added, again.known, again.left_out) == (0, 2, 0)


def test_labels_that_the_config_lacks_are_counted_by_name(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": "yse" if n < 2 else "yes"} for n in range(5)]
    done = bring_rows(FakeLabelStudio(), tmp_path, rows)
    assert (done.new, done.labelled, done.left_out, done.unknown_labels) == (3, 3, 2, {"yse": 2})


@pytest.mark.parametrize("trouble", [answer_lost, restarted])
def test_what_nobody_saw_arrive_is_looked_for_and_sent_only_where_it_is_lacking(
    tmp_path: Path, trouble: Trouble
) -> None:
    label_studio = FakeLabelStudio([trouble])
    assert bring(label_studio, tmp_path).new == N_ROWS
    assert label_studio.rows == [str(number) for number in range(N_ROWS)]


def test_a_token_that_expires_in_the_middle_says_what_came_in_and_a_second_run_goes_on(tmp_path: Path) -> None:
    label_studio = FakeLabelStudio([None, expired])
    said = rf"expired; {CHUNK_ROWS} rows came in; run the same command again for the others"
    with pytest.raises(LabelStudioError, match=said):
        bring(label_studio, tmp_path)
    assert bring(label_studio, tmp_path).new == N_ROWS - CHUNK_ROWS
    assert label_studio.rows == [str(number) for number in range(N_ROWS)]


def test_one_row_that_label_studio_refuses_is_rejected_and_the_others_go_in(tmp_path: Path) -> None:
    label_studio = FakeLabelStudio([one_is_bad] * 99)
    done = bring(label_studio, tmp_path, 20)
    assert (done.new, done.rejected) == (19, 1)
    (_, line) = (tmp_path / "rejects.csv").read_text(encoding="utf-8").splitlines()
    assert line == '8,7,"Label Studio must take it, but: no such thing"', "its own words quote the text"
    assert label_studio.rows == [str(number) for number in range(20) if number != 7]


def test_a_refusal_of_everything_is_no_reject_of_each(tmp_path: Path) -> None:
    label_studio = FakeLabelStudio([all_are_bad] * 99)
    with pytest.raises(LabelStudioError, match="the key must be there; 0 rows came in"):
        bring(label_studio, tmp_path)
    assert len(label_studio.troubles) == 95
    assert not (tmp_path / "rejects.csv").exists()


def test_a_request_that_arrives_late_is_deleted_once_and_a_copy_that_a_person_made_stays(tmp_path: Path) -> None:
    label_studio = FakeLabelStudio()
    bring(label_studio, tmp_path, 3)
    copied = {"data": dict(label_studio.tasks[0]["data"])}
    label_studio.keep([copied])

    def late(there: FakeLabelStudio, tasks: Sequence[Json]) -> None:
        there.keep(tasks)

    label_studio.troubles = [late]
    assert bring(label_studio, tmp_path, 5).doubles_removed == 2
    assert label_studio.rows == ["0", "0", "1", "2", "3", "4"]


def test_a_source_without_a_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="rows must hold at least one row, but holds none"):
        bring(FakeLabelStudio(), tmp_path, 0)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file may become larger than a few blocks, which is the nearest to a full disk that needs no rights."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_much(path: Path) -> None:
    chance = random.Random(0)
    with writing_table(path, {"text": "text"}) as write:
        for _ in range(SMALL_BYTES // 8):
            write({"text": chance.randbytes(16).hex()})


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_a_disk_that_is_full_at_the_output_says_so_and_what_was_there_stays(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("of yesterday", encoding="utf-8")
    with pytest.raises(StateError, match="files may not be that large"):
        write_much(path)
    assert [found.name for found in tmp_path.iterdir()] == [name]
    assert path.read_text(encoding="utf-8") == "of yesterday"


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_an_output_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    path = tmp_path / "file" / name
    with pytest.raises(StateError, match="a part of that path is a file; choose another"), writing_table(path, {}):
        pass
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
