"""The database: it only grows where it must not forget, and comes to its format from nothing, also by many at once.

All of it on SQLite and on a real PostgreSQL.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy.exc import IntegrityError

from backend.core.errors import BadInputError, StateError
from backend.core.settings import Settings
from backend.core.spending import Spend, Spent
from backend.ledger import (
    Accepted,
    AutoAccepted,
    How,
    IndexRow,
    Ledger,
    ProjectRow,
    Shown,
    Training,
    metadata,
    open_ledger,
)
from backend.ledger.ledger import SHOWN_OF_TASK
from tests.stack import ROOT

KEY, OTHER = "84-1795230264", "85-1795230264"


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = request.getfixturevalue("postgresql_database") if request.param == "PostgreSQL" else ""
    return Settings(home=tmp_path / "new", database_url=SecretStr(url))


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    opened = open_ledger(settings)
    yield opened
    opened.engine.dispose()


def test_a_database_of_a_newer_prelabel_is_named_with_what_to_do(settings: Settings) -> None:
    opened = open_ledger(settings)
    with opened.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    opened.engine.dispose()
    with pytest.raises(StateError, match="a newer prelabel has changed it; install that one again"):
        open_ledger(settings)


def shown(task_id: int, label: str = "a", *, version: str = "pl-1", generation: int = 0) -> Shown:
    return Shown(task_id, version, generation, label, 0.5, "retrieve", "label")


def accepted(annotation_id: int, updated_at: str = "t1", *, how: How = "seen", label: str = "a") -> Accepted:
    return Accepted(
        task_id=7, annotation_id=annotation_id, annotation_updated_at=updated_at, annotator=1, label=label,
        how=how, lead_time_s=None, version="pl-1", generation=0, shown_label="a", confidence=0.5, stage="retrieve",
    )  # fmt: skip


def test_migrations_from_nothing_make_exactly_the_tables_that_the_code_means(ledger: Ledger) -> None:
    with ledger.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_opening_again_keeps_what_is_there(ledger: Ledger, settings: Settings) -> None:
    ledger.add_project(KEY)
    again = open_ledger(settings)
    assert again.project_keys() == [KEY]
    again.engine.dispose()


OPEN = "import sys; from backend.core.settings import Settings; from backend.ledger import open_ledger;"


def open_in_processes(settings: Settings, homes: Sequence[Path]) -> list[int]:
    """A process each that opens the database, with a state folder of its own; their exit codes."""
    code = f"{OPEN} open_ledger(Settings(home=sys.argv[1], database_url=sys.argv[2])).add_project('{KEY}')"
    url = settings.database_url.get_secret_value()
    opening = [subprocess.Popen([sys.executable, "-c", code, str(home), url], cwd=ROOT) for home in homes]
    return [process.wait() for process in opening]


def test_many_processes_may_open_a_new_database_at_once(settings: Settings) -> None:
    assert open_in_processes(settings, [settings.home] * 4) == [0, 0, 0, 0]


def test_processes_on_several_machines_may_open_a_new_database_at_once(
    postgresql_database: str, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, database_url=SecretStr(postgresql_database))
    assert open_in_processes(settings, [tmp_path / str(number) for number in range(4)]) == [0, 0, 0, 0]


def test_a_database_that_takes_no_writes_is_told_with_a_remedy(postgresql_database: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=SecretStr(postgresql_database))
    ledger = open_ledger(settings)
    name = ledger.engine.url.database
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    ledger.engine.dispose()  # who connects from here on may not write
    with pytest.raises(StateError, match="the database must answer and take writes"):
        ledger.add_project(KEY)
    ledger.engine.dispose()


URLS = [
    ("nothing like a URL", "my database"),
    ("a database that nobody knows", "oracel://me:s3cret@host/x"),
]


@pytest.mark.parametrize("url", [url for _, url in URLS], ids=[case for case, _ in URLS])
def test_a_url_of_no_database_is_refused_and_not_told(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="postgresql://USER:PASSWORD@HOST/DATABASE") as raised:
        open_ledger(Settings(home=tmp_path, database_url=SecretStr(url)))
    assert "s3cret" not in str(raised.value)


def test_a_text_with_nul_comes_back_as_it_was(ledger: Ledger) -> None:
    ledger.add_project(KEY)
    ledger.put_index(KEY, [(1, "before\0after", "a", 10)])
    assert [row.text for row in ledger.index_rows(KEY)] == ["before\0after"]


def test_readers_do_not_wait_for_a_writer(ledger: Ledger) -> None:
    ledger.add_project(KEY)
    with ledger.engine.begin() as writer:
        writer.execute(sa.text("UPDATE projects SET generation = 5"))
        assert ledger.project_keys() == [KEY]
        row = ledger.project(KEY)
        assert row is not None
        assert row.generation == 0, "not yet committed"


def test_a_project_is_added_once_and_found_by_its_key(ledger: Ledger) -> None:
    assert ledger.project(KEY) is None
    assert ledger.add_project(KEY) == ProjectRow(KEY, counters={}, snapshot={})
    ledger.update_project(KEY, generation=3, counters={"task_number": 5})
    assert ledger.add_project(KEY).generation == 3, "adding again changes nothing"
    ledger.add_project(OTHER)
    assert ledger.project_keys() == [KEY, OTHER]


def test_writers_at_once_never_share_a_generation(ledger: Ledger) -> None:
    ledger.add_project(KEY)
    made: list[int] = []

    def write(first: int) -> None:
        made.extend(ledger.put_index(KEY, [(task, "text", "a", 0)]) for task in range(first, first + 10))

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == list(range(1, 31))


def test_two_who_add_a_project_at_once_both_get_it(ledger: Ledger) -> None:
    failed: list[BaseException] = []

    def add() -> None:
        try:
            ledger.add_project(KEY)
        except BaseException as err:  # noqa: BLE001
            failed.append(err)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_what_was_shown_and_accepted_outlives_the_project(ledger: Ledger) -> None:
    ledger.add_project(KEY)
    ledger.add_shown(KEY, [shown(7)])
    ledger.add_accepted(KEY, [accepted(1)])
    ledger.put_index(KEY, [(7, "a text", "a", 50)])
    ledger.remove_project(KEY)
    assert ledger.project(KEY) is None
    assert ledger.index_rows(KEY) == [], "texts go"
    assert ledger.last_shown(KEY, [7]) == {7: shown(7)}
    assert ledger.how_accepted(KEY) == {1: "seen"}


def test_nothing_in_the_ledger_can_be_changed_or_taken_away_by_its_methods(ledger: Ledger) -> None:
    ledger.add_accepted(KEY, [accepted(1, how="bulk")])
    with pytest.raises(IntegrityError):
        ledger.add_accepted(KEY, [accepted(1, how="seen")])
    assert ledger.how_accepted(KEY) == {1: "bulk"}


def test_rows_are_entered_all_or_none(ledger: Ledger) -> None:
    with pytest.raises(IntegrityError):
        ledger.add_accepted(KEY, [accepted(1), accepted(2), accepted(1)])
    assert ledger.how_accepted(KEY) == {}


def test_each_state_of_an_annotation_is_one_row(ledger: Ledger) -> None:
    ledger.add_accepted(KEY, [accepted(1, "t1"), accepted(1, "t2"), accepted(2, "t1")])
    assert ledger.known_states(KEY, [1, 3]) == {(1, "t1"), (1, "t2")}
    assert ledger.known_states(KEY, []) == set()
    assert ledger.known_states(OTHER, [1, 2]) == set()


def test_how_an_annotation_was_first_accepted_is_what_counts(ledger: Ledger) -> None:
    ledger.add_accepted(KEY, [accepted(1, "t1", how="bulk"), accepted(2, "t1", how="seen")])
    ledger.add_accepted(KEY, [accepted(1, "t2", how="seen")])
    assert ledger.how_accepted(KEY) == {1: "bulk", 2: "seen"}


def test_acceptance_counts_kept_and_corrected_labels_and_no_skips(ledger: Ledger) -> None:
    rows = [accepted(1), accepted(2), accepted(3, label="b"), accepted(4, label=""), accepted(5, how="bulk")]
    ledger.add_accepted(KEY, rows)
    assert sorted(ledger.acceptance(KEY)) == [("bulk", True, 1), ("seen", False, 1), ("seen", True, 2)]


def test_an_annotation_that_was_changed_counts_once_as_it_is_now(ledger: Ledger) -> None:
    ledger.add_accepted(KEY, [accepted(1, "t1"), accepted(2, "t1", label="b"), accepted(3, "t1")])
    ledger.add_accepted(KEY, [accepted(1, "t2", label="b"), accepted(2, "t2"), accepted(3, "t2", label="")])
    assert sorted(ledger.acceptance(KEY)) == [("seen", False, 1), ("seen", True, 1)]


def test_the_newest_of_what_was_shown_is_found_for_more_tasks_than_one_query_takes(ledger: Ledger) -> None:
    n_tasks = 1201
    ledger.add_shown(KEY, [shown(task, "old") for task in range(1, n_tasks + 1)])
    ledger.add_shown(KEY, [shown(task, "new", generation=2) for task in range(1, n_tasks + 1, 2)])
    ledger.add_shown(OTHER, [shown(1, "other")])
    found = ledger.last_shown(KEY, range(1, n_tasks + 10))
    assert len(found) == n_tasks
    assert found[1] == shown(1, "new", generation=2)
    assert found[2] == shown(2, "old")
    assert {task for task, row in found.items() if row.label == "new"} == set(range(1, n_tasks + 1, 2))
    assert ledger.last_shown(KEY, []) == {}


def test_each_change_of_the_index_is_a_generation(ledger: Ledger) -> None:
    ledger.add_project(KEY)
    assert ledger.put_index(KEY, [(1, "one", "a", 10), (2, "two", "b", 20)]) == 1
    assert ledger.put_index(KEY, [(2, "two", "a", 20), (3, "три", "b", 30)]) == 2
    assert ledger.put_index(KEY, [(1, "", "", 10)]) == 3
    assert ledger.put_index(KEY, []) == 3, "nothing changed"
    whole = [IndexRow(2, "two", "a", 20, 2), IndexRow(3, "три", "b", 30, 2), IndexRow(1, "", "", 10, 3)]
    assert ledger.index_rows(KEY) == whole
    assert ledger.index_rows(KEY, after=2) == whole[2:]
    row = ledger.project(KEY)
    assert row is not None
    assert row.generation == 3


def test_a_bulk_accept_of_many_tasks_is_one_generation(ledger: Ledger) -> None:
    ledger.add_project(KEY)
    ledger.put_index(KEY, [(task, f"text {task}", "a", task % 100) for task in range(1, 1202)])
    assert ledger.put_index(KEY, [(task, f"text {task}", "b", task % 100) for task in range(1, 1202)]) == 2
    assert {row.label for row in ledger.index_rows(KEY)} == {"b"}
    assert len(ledger.index_rows(KEY)) == 1201


def test_trainings_are_listed_oldest_first(ledger: Ledger) -> None:
    trainings = [Training(f"pl-{n}", "due", float(n), 1.0, n, n != 1, "better") for n in (2, 1, 3)]
    for training in trainings:
        ledger.add_training(KEY, training)
    assert ledger.trainings(KEY) == trainings
    assert ledger.trainings(OTHER) == []


def test_the_index_of_an_earlier_generation_is_what_it_was(ledger: Ledger) -> None:
    ledger.add_project(KEY)
    seen = []
    for rows in ([(1, "tea", "a", 5), (2, "cup", "b", 6)], [(1, "tea", "b", 5)], [(2, "", "", 6), (3, "pot", "a", 7)]):
        generation = ledger.put_index(KEY, rows)
        seen.append((generation, ledger.index_rows(KEY, after=0)))
    assert [(generation, ledger.index_rows_at(KEY, generation, after=0)) for generation, _ in seen] == seen
    assert ledger.index_rows_at(KEY, 3, after=1) == ledger.index_rows(KEY, after=1)


def test_the_texts_of_tasks_that_are_gone_are_forgotten_for_good(ledger: Ledger) -> None:
    ledger.add_project(KEY)
    ledger.put_index(KEY, [(1, "a secret", "a", 5), (2, "cup", "b", 6)])
    ledger.put_index(KEY, [(1, "", "", 5)])
    ledger.erase(KEY, [1])
    with ledger.engine.connect() as connection:
        held = [
            row.text
            for name in ("examples", "past_examples")
            for row in connection.execute(metadata.tables[name].select())
        ]
    assert "a secret" not in held
    with pytest.raises(BadInputError, match="1 were deleted since"):
        ledger.index_rows_at(KEY, 1, after=0)
    assert [row.task_id for row in ledger.index_rows_at(KEY, 2, after=0)] == [2, 1]


def test_what_we_accepted_is_ours_until_a_person_changes_it(ledger: Ledger) -> None:
    ledger.add_project(KEY)
    ledger.add_accepted(KEY, [accepted(1, how="auto"), accepted(2, how="auto"), accepted(3, how="bulk")])
    ledger.add_accepted(KEY, [accepted(2, "t2", how="seen"), accepted(3, "t2", how="seen")])
    assert ledger.how_accepted(KEY) == {1: "auto", 2: "seen", 3: "bulk"}


def test_what_was_accepted_without_a_person_stands_until_it_is_taken_back(ledger: Ledger) -> None:
    rows = [AutoAccepted(task_id, "pl-1", "a", 0.99, "annotation") for task_id in (1, 2)]
    ledger.auto.add(KEY, rows)
    ledger.auto.name_annotation(KEY, 2, 77)
    ledger.auto.take_back(KEY, [1])
    assert ledger.auto.standing(KEY) == {2: replace(rows[1], annotation_id=77)}
    assert ledger.auto.standing(KEY, [1]) == ledger.auto.standing(OTHER) == {}


def test_blind_labels_are_those_of_trained_versions(ledger: Ledger) -> None:
    cold = replace(accepted(3, how="blind"), version="pl-0-aaaaaaaa")
    ledger.add_accepted(KEY, [accepted(1, how="blind"), accepted(2), cold, accepted(4, how="blind", label="")])
    assert [row.annotation_id for row in ledger.blind_labels(KEY)] == [1]
    assert ledger.blind_labels(KEY, since=time.time() + 60) == []


def test_what_language_models_took_is_counted_by_scope_and_day(ledger: Ledger) -> None:
    book = ledger.spending
    book.add(KEY, "2026-01-31", Spend(100, 1.5, 0.25))
    book.add(KEY, "2026-02-01", Spend(10, 0.5), n_over=3)
    book.add(OTHER, "2026-02-01", Spend(7))
    assert book.spent(KEY, "2026-02-01") == Spent(Spend(10, 0.5), 3)
    assert book.total(KEY) == Spent(Spend(110, 2.0, 0.25), 3)
    book.forget(KEY)
    assert (book.total(KEY), book.total(OTHER).spend.tokens) == (Spent(), 7)


def test_of_many_who_reserve_at_once_none_comes_over_the_limit(ledger: Ledger, settings: Settings) -> None:
    entered: list[bool] = []

    def reserve() -> None:
        own = open_ledger(settings)
        entered.extend(own.spending.reserve(KEY, "2026-01-31", Spend(30), limits=Spend(100)) for _ in range(3))
        own.engine.dispose()

    threads = [threading.Thread(target=reserve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(entered), sum(entered)) == (12, 3)
    assert ledger.spending.spent(KEY, "2026-01-31").spend.tokens == 90


SPEND_AND_DIE = (
    "import os, signal, sys; from backend.core.settings import load_settings; from backend.core.spending import Spend;"
    "from backend.ledger import open_ledger;"
    "book = open_ledger(load_settings()).spending; book.reserve(sys.argv[1], '', Spend(60), limits=Spend(100));"
    "os.kill(os.getpid(), signal.SIGKILL)"
)


def test_what_was_reserved_outlives_a_sigkill(ledger: Ledger, settings: Settings) -> None:
    url = settings.database_url.get_secret_value()
    environment = {**os.environ, "PRELABEL_HOME": str(settings.home), "PRELABEL_DATABASE_URL": url}
    done = subprocess.run([sys.executable, "-c", SPEND_AND_DIE, KEY], cwd=ROOT, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not ledger.spending.reserve(KEY, "", Spend(60), limits=Spend(100))
    assert ledger.spending.reserve(KEY, "", Spend(40), limits=Spend(100))


def test_ticks_after_a_vote_are_told_from_others(ledger: Ledger) -> None:
    voted = [replace(accepted(n, label=label), stage="vote") for n, label in ((1, "a"), (2, "b"), (3, ""))]
    ledger.add_accepted(KEY, [*voted, accepted(4), replace(accepted(5, how="bulk"), stage="vote")])
    assert ledger.spending.ticks_after_votes(KEY) == (1, 2)


def test_tasks_are_counted_by_what_a_version_decided_of_them_last(ledger: Ledger) -> None:
    outside = replace(shown(2), kind="out_of_scope")
    ledger.add_shown(KEY, [shown(1), shown(2), outside, shown(3, version="pl-2")])
    ledger.add_shown(OTHER, [outside])
    assert ledger.decided_as(KEY, "pl-1") == {"label": 1, "out_of_scope": 1}
    assert ledger.decided_as(KEY, "pl-3") == {}


def test_of_a_task_that_was_predicted_again_and_again_the_last_ones_are_read(ledger: Ledger) -> None:
    ledger.add_shown(KEY, [shown(7, generation=n) for n in range(SHOWN_OF_TASK + 50)])
    ledger.add_shown(KEY, [shown(8)])
    found = ledger.all_shown(KEY, [7, 8, 9])
    assert [row.generation for row in found[7]] == list(range(50, SHOWN_OF_TASK + 50))
    assert found[8] == [shown(8)]
    assert found.keys() == {7, 8}


def test_the_text_that_is_stored_in_label_studio_is_the_last_one_that_is_known(ledger: Ledger) -> None:
    ledger.add_shown(KEY, [replace(shown(7), text_hash="first"), replace(shown(7), text_hash="second"), shown(7)])
    ledger.add_shown(KEY, [shown(8)])
    assert ledger.text_hashes(KEY, [7, 8]) == {7: "second"}


def test_only_tasks_of_which_there_is_something_new_are_touched(ledger: Ledger) -> None:
    ledger.add_shown(KEY, [replace(shown(1), kind="blind"), shown(2)])
    ledger.add_shown(OTHER, [replace(shown(9), kind="blind")])
    ledger.add_accepted(KEY, [accepted(3, "t1")])
    everything, last = ledger.touched(KEY, after=(0, 0))
    assert everything == {1, accepted(3).task_id}
    assert ledger.touched(KEY, after=last) == (set(), last)
    ledger.add_shown(KEY, [replace(shown(4), kind="blind"), shown(5)])
    assert ledger.touched(KEY, after=last)[0] == {4}


def test_what_was_shown_of_tasks_that_do_not_exist_is_dropped_and_nothing_else(ledger: Ledger) -> None:
    ledger.add_shown(KEY, [shown(1), shown(2), shown(2)])
    ledger.add_shown(OTHER, [shown(2)])
    assert ledger.shown_tasks(KEY) == {1, 2}
    ledger.drop_shown(KEY, [2])
    assert ledger.shown_tasks(KEY) == {1}
    assert ledger.shown_tasks(OTHER) == {2}
