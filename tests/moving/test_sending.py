"""What goes wrong on the way to Label Studio, over a fake that loses answers, is away, or refuses: each row once."""

import random
import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backend.core.errors import BadInputError, LabelStudioError, StateError
from backend.labelstudio.records import Json, Project, Task, project_of, task_of
from backend.labelstudio.schema import ID_KEY, Control, read_config
from backend.moving import sending
from backend.moving.importing import CHUNK_ROWS, ImportOptions, import_rows
from backend.moving.reading import RowsSource
from backend.moving.tables import writing_table
from tests.moving.playground import CONFIG

N_ROWS = CHUNK_ROWS + 10  # two requests
SMALL_BYTES = 64 * 1024
Trouble = Callable[["FakeLabelStudio", Sequence[Json]], None]


@dataclass
class FakeLabelStudio:
    """Tasks in memory. `troubles` happen to the requests in turn; None lets one through."""

    troubles: list[Trouble | None] = field(default_factory=list)
    tasks: list[Json] = field(default_factory=list)

    def count(self, _project_id: int, filters: Sequence[Json]) -> int:
        above = filters[0]["value"] if filters else 0
        return sum(task["id"] > above for task in self.tasks)

    def pages_above(
        self, _project_id: int, task_id: int, *, include: str, filters: Sequence[Json] = ()
    ) -> Iterator[list[Json]]:
        page = [task for task in self.tasks if task["id"] > task_id]
        return iter([page] if page else [])

    def import_tasks(self, _project_id: int, tasks: Sequence[Json]) -> list[int]:
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is not None:
            trouble(self, tasks)
        return self.keep(tasks)

    def keep(self, tasks: Sequence[Json]) -> list[int]:
        ids = list(range(len(self.tasks) + 1, len(self.tasks) + len(tasks) + 1))
        self.tasks += [{"id": id_, "data": task["data"]} for id_, task in zip(ids, tasks, strict=True)]
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
        raise LabelStudioError("no such thing in a task", status=400)


def all_are_bad(_: FakeLabelStudio, __: Sequence[Json]) -> None:
    raise LabelStudioError("the key must be there", status=400)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SETTLE_S", 0.1)
    monkeypatch.setattr(sending, "LOOK_S", 0.01)


def bring(label_studio: FakeLabelStudio, folder: Path, n: int = N_ROWS) -> sending.Imported:
    control = read_config(CONFIG)
    assert isinstance(control, Control)
    rows = RowsSource([{"id": number, "text": f"text {number}"} for number in range(n)])
    return import_rows(
        rows, label_studio, 1, control, folder=folder, options=ImportOptions(rejects=folder / "rejects.csv"),
        report=lambda _: None, watch=lambda _: None,
    )  # fmt: skip


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
    assert (tmp_path / "rejects.csv").read_text(encoding="utf-8").splitlines()[1].startswith("8,")
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
