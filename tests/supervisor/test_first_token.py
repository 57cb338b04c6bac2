"""A new stack makes its own token, never at a person's cost."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.core.errors import BadInputError, LabelStudioError
from backend.core.settings import Settings
from backend.labelstudio.account import Account
from backend.supervisor.first_token import ASKED, ensure_token
from backend.supervisor.state import TOKEN, StateFolder
from tests.label_studios import label_studio_of_defaults
from tests.stack import RunningLabelStudio

pytestmark = pytest.mark.label_studio


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLabelStudio]:
    """A Label Studio whose tokens no other test needs."""
    with label_studio_of_defaults(tmp_path_factory.mktemp("own")) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = StateFolder(tmp_path)
    made.make()
    return made


def settings_of(own: RunningLabelStudio, folder: StateFolder, *, token: str = "", password: str = "") -> Settings:
    return Settings(
        home=folder.home, label_studio_url=own.url, label_studio_email=own.email,
        label_studio_token=SecretStr(token), label_studio_password=SecretStr(password),
    )  # fmt: skip


def accepts(own: RunningLabelStudio, token: str) -> bool:
    return Account(own.url, own.email, own.password).accepts(token)


def test_a_token_that_works_is_kept(own: RunningLabelStudio, folder: StateFolder) -> None:
    ensure_token(folder, settings_of(own, folder, token=own.token))
    assert folder.recall() == {}


def test_without_token_and_password_there_is_nothing_to_log_in_with(
    own: RunningLabelStudio, folder: StateFolder
) -> None:
    with pytest.raises(BadInputError, match="PRELABEL_LABEL_STUDIO_PASSWORD must be set"):
        ensure_token(folder, settings_of(own, folder))


def test_a_token_that_a_person_has_made_is_not_revoked(own: RunningLabelStudio, folder: StateFolder) -> None:
    with pytest.raises(LabelStudioError, match="set PRELABEL_LABEL_STUDIO_TOKEN to it, or revoke it"):
        ensure_token(folder, settings_of(own, folder, password=own.password))
    assert accepts(own, own.token)


def test_where_nobody_answers_the_address_is_told(folder: StateFolder) -> None:
    settings = Settings(
        home=folder.home, label_studio_url="http://127.0.0.1:1", label_studio_password=SecretStr("x" * 8)
    )
    with pytest.raises(LabelStudioError, match="must answer at http"):
        ensure_token(folder, settings)


def test_one_that_was_lost_while_it_was_made_is_made_again_and_the_lost_one_ends(
    own: RunningLabelStudio, folder: StateFolder
) -> None:
    (folder.run / ASKED).touch()  # what SIGKILL leaves between asking and writing down
    ensure_token(folder, settings_of(own, folder, password=own.password))
    made = folder.recall()[TOKEN]
    assert accepts(own, made)
    assert not accepts(own, own.token)
    assert not (folder.run / ASKED).exists()
    assert folder.env_file.stat().st_mode & 0o777 == 0o600
    ensure_token(folder, settings_of(own, folder, token=made))
    assert folder.recall()[TOKEN] == made
