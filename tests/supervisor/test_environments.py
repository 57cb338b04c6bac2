"""How pip is run in an environment: told of the package index, silent about its password."""

from pathlib import Path

import pytest

from backend.core.package_index import pip_environment
from backend.supervisor.environments import CPU_WHEELS, Environment, EnvironmentFailed, answers, needs_cpu_index

PIP = """#!/bin/sh
echo "arguments: $@"
echo "index: $PIP_INDEX_URL"
echo "ERROR: could not reach $PIP_INDEX_URL"
exit 1
"""


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """An environment whose pip says what it was told, and fails."""
    told = pip_environment(index_url="https://me:s3cret@pypi.example/simple", ca_bundle="", proxy="")
    made = Environment(tmp_path, told)
    made.python.parent.mkdir()
    made.python.write_text(PIP, encoding="utf-8")
    made.python.chmod(0o700)
    return made


def test_pip_gets_the_index_by_its_environment_and_no_password_by_its_command(environment: Environment) -> None:
    with pytest.raises(EnvironmentFailed, match=r"could not reach https://pypi.example/simple") as raised:
        environment.pip("install", "anything")
    assert "s3cret" not in str(raised.value)
    log = environment.log.read_text(encoding="utf-8")
    assert "index: https://me:s3cret@pypi.example/simple" in log
    assert not any("s3cret" in line for line in log.splitlines() if line.startswith(("$", "arguments")))
    assert "s3cret" not in repr(environment)


def test_where_an_index_is_set_pytorchs_own_is_not_asked(environment: Environment) -> None:
    assert not needs_cpu_index(environment)


def test_an_index_is_asked_by_the_proxy_that_pip_is_told() -> None:
    nobody = pip_environment(index_url="", ca_bundle="", proxy="http://127.0.0.1:9")
    assert not answers(CPU_WHEELS, nobody)
