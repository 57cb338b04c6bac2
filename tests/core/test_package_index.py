"""What pip is told before anything is installed, and what is never shown."""

import subprocess
import sys

import pytest

from backend.core.package_index import pip_environment_before_install, without_credentials


def test_before_anything_is_installed_the_environment_alone_is_asked() -> None:
    values = {"PRELABEL_INDEX_URL": "https://pypi.example/simple", "PRELABEL_CA_BUNDLE": "/ca.pem", "PATH": "/bin"}
    told = pip_environment_before_install(values)
    assert told == {
        "PIP_INDEX_URL": "https://pypi.example/simple", "PIP_CERT": "/ca.pem", "SSL_CERT_FILE": "/ca.pem",
    }  # fmt: skip


def test_the_bootstrap_needs_nothing_but_the_standard_library() -> None:
    command = [
        sys.executable,
        "-S",
        "-I",
        "-c",
        "import sys; sys.path.insert(0, '.'); import backend.supervisor.bootstrap",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ERROR: https://me:s3cret@pypi.example/simple is away", "ERROR: https://pypi.example/simple is away"),
        ("see https://pypi.example/@scope/x", "see https://pypi.example/@scope/x"),
        ("http://t0ken@a http://b", "http://a http://b"),
    ],
)
def test_user_and_password_are_taken_out_of_urls(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
