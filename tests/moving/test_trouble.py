"""What goes wrong around a run, for real: Label Studio started again, a full disk, an account that may not, a token."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.labelstudio.client import open_client
from backend.moving.importing import CHUNK_ROWS, ImportOptions, import_rows
from backend.moving.target import open_project
from backend.rows.records import RowsSource
from tests.moving.playground import Playground, playing
from tests.relays import Relay, relaying
from tests.stack import new_label_studio, running, wait_for

pytestmark = [pytest.mark.label_studio, pytest.mark.timeout(600)]

N_ROWS = 4 * CHUNK_ROWS
N_LARGE = 300
LIMIT_KB = 512  # of any file; the database is smaller, the rows of a large project are not


def write(path: Path, n: int, *, padding: int = 0) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for number in range(n):
            file.write(json.dumps({"id": number, "text": f"text {number}{'x' * padding}"}) + "\n")
    return path


def test_a_run_outlives_a_label_studio_that_is_started_again(tmp_path: Path) -> None:
    data, out = write(tmp_path / "a.jsonl", N_ROWS), tmp_path / "out.csv"
    label_studio = new_label_studio(tmp_path)
    service = label_studio.program.service()
    with running(service, tmp_path), playing(label_studio, tmp_path / "home", keep=True) as playground:
        command = playground.command("import", data, "--project", playground.project_id, "--json")
        started = subprocess.Popen(command, env=playground.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for(lambda: playground.client.count(playground.project_id, []), within_s=60)
        assert started.poll() is None
    away = playground.run(
        "export", "--project", playground.project_id, "--out", out, "--what", "tasks", expected=3
    ).stderr
    assert b"check its URL and that it runs" in away
    assert not list(tmp_path.glob("*out.csv*"))
    with running(service, tmp_path):
        stdout, stderr = started.communicate(timeout=200)
        assert started.returncode == 0, stderr.decode()
        assert b"Label Studio did not answer; waiting" in stderr
        assert json.loads(stdout)["new"] == N_ROWS
        with closing(open_client(playground.settings)) as client:
            again = replace(playground, client=client)
            assert again.rows() == {str(number): 1 for number in range(N_ROWS)}
        assert playground.exported(out).rows == N_ROWS


def test_a_disk_that_is_full_in_the_middle_leaves_nothing_half_written_and_a_second_run_goes_on(
    playground: Playground, tmp_path: Path
) -> None:
    playground.imported(write(tmp_path / "a.jsonl", N_LARGE, padding=5000))
    out = tmp_path / "place" / "out.csv"
    command = playground.command("export", "--project", playground.project_id, "--out", out, "--what", "tasks")
    limited = ["sh", "-c", f'ulimit -f {2 * LIMIT_KB}; exec "$@"', "sh", *command]
    done = subprocess.run(limited, env=playground.environment, capture_output=True, text=True)
    assert done.returncode == 3
    assert "files may not be that large; raise the limit" in " ".join(done.stderr.split())
    assert not out.parent.exists() or list(out.parent.iterdir()) == []
    assert playground.exported(out).rows == N_LARGE


def test_an_account_that_may_not_write_is_told_so_and_nothing_arrives(playground: Playground, tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", 10)
    with relaying(Relay(playground.label_studio.program.address, forbidden="POST /import")) as front:
        environment = playground.environment | {"PRELABEL_LABEL_STUDIO_URL": f"http://127.0.0.1:{front.port}"}
        command = playground.command("import", data, "--project", playground.project_id)
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 3
    told = "use a token of an account with write access; 0 rows came in; run the same command again for the others"
    assert told in " ".join(done.stderr.split())
    assert playground.tasks() == []
    assert playground.imported(data).new == 10


def test_an_access_token_that_ends_in_the_middle_is_renewed_and_no_row_is_doubled(
    playground: Playground, tmp_path: Path
) -> None:
    with open_project(playground.settings, playground.project_id) as (client, goal):

        def rows() -> Iterator[Mapping[str, Any]]:
            tokens = client.api.sdk._tokens_client
            for number in range(2 * CHUNK_ROWS):
                if number == CHUNK_ROWS + 1:  # the first request has been renewed by then, and is not broken again
                    wait_for(lambda: playground.client.count(goal.project_id, []) == CHUNK_ROWS, within_s=60)
                if number % CHUNK_ROWS == 1:
                    tokens._set_access_token(tokens.api_key[:-8] + "abcdefgh")  # good by its date, and refused
                yield {"id": number, "text": f"text {number}"}

        done = import_rows(
            RowsSource(rows()), goal.sink, goal.project_id, goal.control, folder=goal.folder,
            options=ImportOptions(rejects=tmp_path / "rejects.csv"), report=lambda _: None, watch=lambda _: None,
        )  # fmt: skip
    assert (done.new, done.doubles_removed) == (2 * CHUNK_ROWS, 0)
    assert playground.rows() == {str(number): 1 for number in range(2 * CHUNK_ROWS)}
